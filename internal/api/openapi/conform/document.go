package conform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"cartd/internal/api/openapi"
)

// document is the contract with its schemas compiled, all of them before the first exchange: openapi3filter of
// kin-openapi would compile one anew for each value.
type document struct {
	items    []*item
	unrouted map[string]*response
}

// item is a path.
type item struct {
	segments   []string
	variables  map[int]string // by their place among the segments
	operations map[string]*operation
}

type operation struct {
	id         string
	parameters []parameter
	body       *jsonschema.Schema // nil: it has none
	needsBody  bool
	backend    bool // nobody else is let in
	responses  map[string]*response
}

type parameter struct {
	Name     string `json:"name"`
	In       string `json:"in"`
	Required bool   `json:"required"`
	Empty    bool   `json:"allowEmptyValue"` // is as good as none
	schema   *jsonschema.Schema
	list     bool
	integer  bool
}

type response struct {
	headers map[string]header
	content map[string]*jsonschema.Schema // by media type
}

type header struct {
	required, integer bool
	schema            *jsonschema.Schema
}

// location is where the compiler knows the document by.
const location = "https://cartd.invalid/openapi.json"

// loader makes a document. at is a JSON pointer to what it looks at.
type loader struct {
	whole    map[string]any
	compiler *jsonschema.Compiler
}

func newLoader() (*loader, error) {
	whole, err := jsonschema.UnmarshalJSON(bytes.NewReader(openapi.JSON()))
	if err != nil {
		return nil, err
	}
	closeObjects(whole, false)
	l := &loader{whole.(map[string]any), jsonschema.NewCompiler()}
	l.compiler.DefaultDraft(jsonschema.Draft2020)
	l.compiler.AssertFormat()
	return l, l.compiler.AddResource(location, whole)
}

func load() (*document, error) {
	l, err := newLoader()
	if err != nil {
		return nil, err
	}
	c := &document{}
	if c.unrouted, err = l.responses("/x-without-operation/responses"); err != nil {
		return nil, err
	}
	paths, _ := l.at("/paths").(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		i, err := l.item(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		c.items = append(c.items, i)
	}
	return c, nil
}

// closeObjects lets no schema with properties take others, so that an answer with a member that nobody has written down
// is found. Parts of an allOf stay as they are: each has its share of the members only.
func closeObjects(v any, part bool) {
	switch v := v.(type) {
	case map[string]any:
		_, properties := v["properties"].(map[string]any)
		_, additional := v["additionalProperties"]
		if properties && !additional && !part {
			v["additionalProperties"] = false
		}
		for name, member := range v {
			if list, ok := member.([]any); ok && name == "allOf" {
				for _, p := range list {
					closeObjects(p, true)
				}
				continue
			}
			closeObjects(member, false)
		}
	case []any:
		for _, member := range v {
			closeObjects(member, false)
		}
	}
}

func (l *loader) item(path string) (*item, error) {
	i := &item{segments: strings.Split(path, "/"), variables: map[int]string{}, operations: map[string]*operation{}}
	for n, s := range i.segments {
		if name, ok := strings.CutPrefix(s, "{"); ok {
			i.variables[n] = strings.TrimSuffix(name, "}")
		}
	}
	at := "/paths/" + escape(path)
	shared, err := l.parameters(at + "/parameters")
	if err != nil {
		return nil, err
	}
	members, _ := l.at(at).(map[string]any)
	for method := range members {
		if method == "parameters" {
			continue
		}
		op, err := l.operation(at + "/" + method)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		op.parameters = append(op.parameters, shared...)
		i.operations[method] = op
	}
	return i, nil
}

func (l *loader) operation(at string) (op *operation, err error) {
	op = &operation{}
	op.id, _ = l.at(at + "/operationId").(string)
	if op.parameters, err = l.parameters(at + "/parameters"); err != nil {
		return nil, err
	}
	if body := at + "/requestBody"; l.at(body) != nil {
		op.needsBody, _ = l.at(body + "/required").(bool)
		if op.body, err = l.schema(body + "/content/application~1json/schema"); err != nil {
			return nil, err
		}
	}
	if security, ok := l.at(at + "/security").([]any); ok && len(security) == 1 {
		only, _ := security[0].(map[string]any)
		_, op.backend = only["backend"]
	}
	op.responses, err = l.responses(at + "/responses")
	return op, err
}

func (l *loader) parameters(at string) (list []parameter, err error) {
	refs, _ := l.at(at).([]any)
	for n := range refs {
		var p parameter
		to := l.follow(fmt.Sprintf("%s/%d", at, n))
		raw, err := json.Marshal(l.at(to))
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, err
		}
		if p.schema, err = l.schema(to + "/schema"); err != nil {
			return nil, err
		}
		kind := l.at(l.follow(to+"/schema") + "/type")
		p.list, p.integer = kind == "array", kind == "integer"
		list = append(list, p)
	}
	return list, nil
}

func (l *loader) responses(at string) (map[string]*response, error) {
	all := map[string]*response{}
	statuses, _ := l.at(at).(map[string]any)
	for status := range statuses {
		to := l.follow(at + "/" + status)
		res := &response{headers: map[string]header{}, content: map[string]*jsonschema.Schema{}}
		headers, _ := l.at(to + "/headers").(map[string]any)
		for name := range headers {
			from := l.follow(to + "/headers/" + escape(name))
			schema, err := l.schema(from + "/schema")
			if err != nil {
				return nil, err
			}
			required, _ := l.at(from + "/required").(bool)
			res.headers[name] = header{required, l.at(from+"/schema/type") == "integer", schema}
		}
		content, _ := l.at(to + "/content").(map[string]any)
		for kind := range content {
			var err error
			if res.content[kind], err = l.schema(to + "/content/" + escape(kind) + "/schema"); err != nil {
				return nil, err
			}
		}
		all[status] = res
	}
	return all, nil
}

func (l *loader) schema(at string) (*jsonschema.Schema, error) {
	if l.at(at) == nil {
		return nil, fmt.Errorf("there is no schema at %s", at)
	}
	return l.compiler.Compile(location + "#" + at)
}

// at returns what a JSON pointer points to, nil if that is nothing.
func (l *loader) at(pointer string) any {
	var v any = l.whole
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")
		switch w := v.(type) {
		case map[string]any:
			v = w[token]
		case []any:
			var n int
			if _, err := fmt.Sscan(token, &n); err != nil || n >= len(w) {
				return nil
			}
			v = w[n]
		default:
			return nil
		}
	}
	return v
}

// follow returns where a pointer leads when what is there is a reference.
func (l *loader) follow(pointer string) string {
	for {
		m, _ := l.at(pointer).(map[string]any)
		ref, ok := m["$ref"].(string)
		if !ok {
			return pointer
		}
		pointer = strings.TrimPrefix(ref, "#")
	}
}

func escape(token string) string {
	return strings.ReplaceAll(strings.ReplaceAll(token, "~", "~0"), "/", "~1")
}
