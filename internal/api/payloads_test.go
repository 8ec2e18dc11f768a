package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cartd/internal/api/openapi"
	"cartd/internal/grain"
	"cartd/pkg/messages"
)

// node looks into the contract: at("a", "b") is its member b of its member a, after references are followed.
type node struct {
	whole, here any
}

func contractNode(t *testing.T) node {
	t.Helper()
	var v any
	if err := json.Unmarshal(openapi.JSON(), &v); err != nil {
		t.Fatal(err)
	}
	return node{v, v}
}

func (n node) at(path ...string) node {
	for _, name := range path {
		switch v := n.here.(type) {
		case map[string]any:
			n.here = v[name]
		case []any:
			i, _ := strconv.Atoi(name)
			n.here = v[i]
		default:
			n.here = nil
		}
		if m, ok := n.here.(map[string]any); ok {
			if ref, ok := m["$ref"].(string); ok {
				n = node{n.whole, n.whole}.at(strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
			}
		}
	}
	return n
}

func (n node) names() []string {
	m, _ := n.here.(map[string]any)
	return slices.Sorted(maps.Keys(m))
}

// jsonNames are the members that a struct has as JSON.
func jsonNames(v reflect.Type) (names []string) {
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	for f := range v.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// What the backend may ask for is what the registry has and carts do not settle among themselves, with the fields that it
// is decoded into.
func TestContractHasTheMutationsOfTheRegistry(t *testing.T) {
	schemas := contractNode(t).at("components", "schemas")
	registry := grain.Registry(grain.Limits{})
	written := map[string]bool{}
	for _, name := range schemas.at("Mutation", "discriminator", "mapping").names() {
		written[name] = true
		m, ok := registry.Create(name)
		if !ok || grain.Settles(name) {
			t.Errorf("the contract has the mutation %s, which nobody may ask for", name)
			continue
		}
		schema := schemas.at(name + "Mutation")
		if got, _ := schema.at("properties", "type", "const").here.(string); got != name {
			t.Errorf("the type of %s is %q", name, got)
		}
		if got, want := schema.at("properties", "payload", "properties").names(), jsonNames(reflect.TypeOf(m)); !slices.Equal(got, want) {
			t.Errorf("%s has the fields %v in the contract, %v in the registry", name, got, want)
		}
	}
	all := messages.File_messages_proto.Messages()
	for i := range all.Len() {
		name := string(all.Get(i).Name())
		if _, ok := registry.Create(name); ok && !grain.Settles(name) && !written[name] {
			t.Errorf("the contract has no mutation %s", name)
		}
	}
}

// Where the program has a constant, or a default, the contract has the same number.
func TestContractHasTheLimitsOfTheProgram(t *testing.T) {
	root := contractNode(t)
	schemas, parameters := root.at("components", "schemas"), root.at("components", "parameters")
	for _, l := range []struct {
		name string
		at   node
		want float64
	}{
		{"maxEvents", parameters.at("EventLimit", "schema", "maximum"), maxEvents},
		{"defaultEvents", parameters.at("EventLimit", "schema", "default"), defaultEvents},
		{"maxCarts", root.at("paths", "/v1/carts", "get", "parameters", "3", "schema", "maximum"), maxCarts},
		{"defaultCarts", root.at("paths", "/v1/carts", "get", "parameters", "3", "schema", "default"), defaultCarts},
		{"maxKeyBytes", parameters.at("IdempotencyKey", "schema", "maxLength"), maxKeyBytes},
		{"maxSKUBytes", schemas.at("Sku", "maxLength"), maxSKUBytes},
		{"MaxMutations of items", schemas.at("AddItems", "properties", "items", "maxItems"), 1000},
		{"MaxMutations", schemas.at("Mutations", "properties", "mutations", "maxItems"), 1000},
	} {
		if got, ok := l.at.here.(float64); !ok || got != l.want {
			t.Errorf("%s is %v; the contract has %v", l.name, l.want, l.at.here)
		}
	}
	var want []string
	for _, s := range statuses {
		want = append(want, string(s))
	}
	var got []string
	for _, s := range schemas.at("CartStatus", "enum").here.([]any) {
		got = append(got, s.(string))
	}
	if !slices.Equal(got, want) {
		t.Errorf("carts have the statuses %v; the contract has %v", want, got)
	}
}
