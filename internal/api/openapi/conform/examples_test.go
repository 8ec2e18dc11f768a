package conform

import (
	"strconv"
	"strings"
	"testing"
)

// Each example of the contract is of the schema beside it. Those of answers were real ones once.
func TestExamplesAreOfTheirSchemas(t *testing.T) {
	l, err := newLoader()
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	check := func(schema, example string) {
		tried++
		s, err := l.schema(schema)
		if err != nil {
			t.Errorf("%s: %v", schema, err)
			return
		}
		if err := s.Validate(l.at(example)); err != nil {
			t.Errorf("%s: %v", example, err)
		}
	}
	l.walk("", l.whole, func(at string, object map[string]any) {
		switch examples := object["examples"].(type) {
		case map[string]any: // beside a schema
			if object["schema"] == nil {
				return
			}
			for name := range examples {
				check(at+"/schema", l.follow(at+"/examples/"+escape(name))+"/value")
			}
		case []any: // of a schema itself
			for i := range examples {
				check(at, at+"/examples/"+strconv.Itoa(i))
			}
		}
		if _, ok := object["example"]; ok && object["schema"] != nil && object["in"] != "path" {
			check(at+"/schema", at+"/example")
		}
	})
	if tried < 60 {
		t.Errorf("%d examples were found, want the 60 and more that there are", tried)
	}
}

// walk calls f with each object of the contract and where it is, but for what is within examples.
func (l *loader) walk(at string, v any, f func(string, map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		f(at, v)
		for name, member := range v {
			if name == "examples" || name == "example" || strings.HasPrefix(at, "/components/examples") {
				continue
			}
			l.walk(at+"/"+escape(name), member, f)
		}
	case []any:
		for i, member := range v {
			l.walk(at+"/"+strconv.Itoa(i), member, f)
		}
	}
}
