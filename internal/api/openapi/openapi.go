// Package openapi holds the contract of the public port: an OpenAPI 3.1 document, in parts that are read and changed by
// hand, and merged into the one that clients get.
//
// A part is a piece of the document as it stands; parts have no member in common but those that are objects in both:
// paths, components and what is in these. References are to the whole document.
package openapi

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"go.yaml.in/yaml/v3"
)

//go:embed *.yaml
var parts embed.FS

// order is that of the parts, and so of the operations in the document.
var order = []string{
	"openapi", "session", "carts", "items", "deliveries", "checkout", "branches", "feeds", "operations", "service", "schemas", "requests", "payloads", "answers", "problems",
}

// JSON returns the document, with its members in the order of the parts. It panics if the parts are not one document,
// which a test would have found. Callers do not change what it returns.
var JSON = sync.OnceValue(func() []byte {
	b, err := merge()
	if err != nil {
		panic("openapi: " + err.Error())
	}
	return b
})

func merge() ([]byte, error) {
	var whole *yaml.Node
	for _, name := range order {
		text, err := parts.ReadFile(name + ".yaml")
		if err != nil {
			return nil, err
		}
		var part yaml.Node
		if err := yaml.Unmarshal(text, &part); err != nil {
			return nil, fmt.Errorf("%s.yaml: %w", name, err)
		}
		if whole == nil {
			whole = part.Content[0]
			continue
		}
		if err := mergeInto(whole, part.Content[0]); err != nil {
			return nil, fmt.Errorf("%s.yaml: %w", name, err)
		}
	}
	return appendNode(nil, whole)
}

// mergeInto adds the members of one object to another.
func mergeInto(to, from *yaml.Node) error {
	if to.Kind != yaml.MappingNode || from.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: what is in two parts must be an object", from.Line)
	}
	for i := 0; i < len(from.Content); i += 2 {
		name, value := from.Content[i], from.Content[i+1]
		if there := member(to, name.Value); there == nil {
			to.Content = append(to.Content, name, value)
		} else if err := mergeInto(there, value); err != nil {
			return fmt.Errorf("%s: %w", name.Value, err)
		}
	}
	return nil
}

// member returns the value of an object's member, nil if there is none.
func member(object *yaml.Node, name string) *yaml.Node {
	for i := 0; i < len(object.Content); i += 2 {
		if object.Content[i].Value == name {
			return object.Content[i+1]
		}
	}
	return nil
}

// appendNode writes what YAML and JSON have in common: no anchors, no tags.
func appendNode(b []byte, n *yaml.Node) ([]byte, error) {
	var err error
	switch n.Kind {
	case yaml.MappingNode:
		b = append(b, '{')
		for i := 0; i < len(n.Content); i += 2 {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendText(b, n.Content[i].Value), ':')
			if b, err = appendNode(b, n.Content[i+1]); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	case yaml.SequenceNode:
		b = append(b, '[')
		for i, item := range n.Content {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = appendNode(b, item); err != nil {
				return nil, err
			}
		}
		return append(b, ']'), nil
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!null":
			return append(b, "null"...), nil
		case "!!bool":
			return strconv.AppendBool(b, n.Value == "true"), nil
		case "!!int", "!!float":
			if json.Valid([]byte(n.Value)) {
				return append(b, n.Value...), nil
			}
		case "!!str":
			return appendText(b, n.Value), nil
		}
		return nil, fmt.Errorf("line %d: %q (%s) is nothing that JSON has; quote it if it is text", n.Line, n.Value, n.Tag)
	}
	return nil, fmt.Errorf("line %d: anchors and aliases are not used here", n.Line)
}

// appendText writes a string, without the escapes that only HTML needs.
func appendText(b []byte, s string) []byte {
	buf := bytes.NewBuffer(b)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always can be
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
