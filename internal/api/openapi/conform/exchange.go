package conform

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// request returns what about the request is not as the operation wants it.
func (op *operation) request(x *Exchange, path map[string]string, query string) error {
	values, err := url.ParseQuery(query)
	if err != nil && slices.ContainsFunc(op.parameters, func(p parameter) bool { return p.In == "query" }) {
		return err
	}
	for _, p := range op.parameters {
		var given []string
		switch p.In {
		case "path":
			v, err := url.PathUnescape(path[p.Name])
			if err != nil {
				return err
			}
			given = []string{v}
		case "query":
			given = values[p.Name]
		case "header":
			given = x.Header[http.CanonicalHeaderKey(p.Name)]
			if p.Name == "Last-Event-ID" && (!Streams(x.AnswerHeader) || len(given) == 1 && given[0] == "") {
				continue // pages do not look at it, and an empty one is as good as none
			}
			if p.Name == "If-Match" || p.Name == "If-None-Match" || p.Name == "Prefer" { // lists, in one line or several
				if given != nil {
					given = []string{strings.Join(given, ",")}
				}
			}
		}
		if err := p.check(given); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
	}
	return op.checkBody(x.Body)
}

func (p *parameter) check(given []string) error {
	if p.list {
		list := []any{}
		for _, v := range given {
			for part := range strings.SplitSeq(v, ",") {
				list = append(list, part)
			}
		}
		return p.schema.Validate(list)
	}
	switch {
	case len(given) > 1:
		return errors.New("it is there more than once")
	case len(given) == 0 && p.Required:
		return errors.New("it is missing")
	case len(given) == 0, given[0] == "" && p.Empty:
		return nil
	case p.integer:
		if _, err := strconv.ParseInt(given[0], 10, 64); err != nil {
			return errors.New("it is no integer")
		}
		return p.schema.Validate(json.Number(given[0]))
	}
	return p.schema.Validate(given[0])
}

func (op *operation) checkBody(body []byte) error {
	if op.body == nil {
		return nil
	}
	if len(bytes.TrimSpace(body)) == 0 {
		if op.needsBody {
			return errors.New("the body is empty")
		}
		return nil
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	keep := ""
	if op.id == "changeItem" {
		keep = "marking" // null takes it away
	}
	return op.body.Validate(withoutNulls(v, keep))
}

// withoutNulls leaves out the members that are null: those are as good as missing, but for the one that is named keep,
// of the outermost object. What shops put into attributes and data stays as it is.
func withoutNulls(v any, keep string) any {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			switch {
			case member == nil && name != keep:
				delete(v, name)
			case name != "attributes" && name != "data":
				withoutNulls(member, "")
			}
		}
	case []any:
		for _, member := range v {
			withoutNulls(member, "")
		}
	}
	return v
}

// partlyRefused reports whether an answer tells of a mutation that was refused: of several items some may be bad.
func partlyRefused(answer []byte) bool {
	var changed struct {
		Mutations []struct {
			Error *struct{} `json:"error"`
		} `json:"mutations"`
	}
	if json.Unmarshal(answer, &changed) != nil {
		return false
	}
	for _, m := range changed.Mutations {
		if m.Error != nil {
			return true
		}
	}
	return false
}

// answer returns what about the answer is not as one of the responses has it. Only the statuses given are possible; all
// of the responses if there are none.
func (c *document) answer(responses map[string]*response, x *Exchange, statuses ...int) error {
	res := responses[strconv.Itoa(x.Status)]
	if res == nil || len(statuses) > 0 && !slices.Contains(statuses, x.Status) {
		return fmt.Errorf("status %d is none of %v %v", x.Status, slices.Sorted(maps.Keys(responses)), statuses)
	}
	var errs []error
	for name, h := range res.headers {
		if err := h.check(x.AnswerHeader.Values(name)); err != nil {
			errs = append(errs, fmt.Errorf("header %s: %w", name, err))
		}
	}
	if err := res.checkBody(x); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (h *header) check(given []string) error {
	switch {
	case len(given) == 0 && h.required:
		return errors.New("it is missing")
	case len(given) == 0:
		return nil
	case len(given) > 1:
		return errors.New("it is there more than once")
	case h.integer:
		if _, err := strconv.ParseInt(given[0], 10, 64); err != nil {
			return errors.New("it is no integer")
		}
		return h.schema.Validate(json.Number(given[0]))
	}
	return h.schema.Validate(given[0])
}

func (r *response) checkBody(x *Exchange) error {
	if x.Method == http.MethodHead {
		return nil // a handler may have written one, which net/http leaves out
	}
	if len(r.content) == 0 {
		if len(x.Answer) > 0 {
			return errors.New("there is a body, where there should be none")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(x.AnswerHeader.Get("Content-Type"))
	if err != nil {
		return err
	}
	schema := r.content[kind]
	if schema == nil {
		return fmt.Errorf("type %s is none of %v", kind, slices.Sorted(maps.Keys(r.content)))
	}
	if kind != "application/json" && kind != "application/problem+json" {
		return nil
	}
	var answer io.Reader = bytes.NewReader(x.Answer)
	if x.AnswerHeader.Get("Content-Encoding") == "gzip" {
		if answer, err = gzip.NewReader(answer); err != nil {
			return err
		}
	}
	v, err := jsonschema.UnmarshalJSON(answer)
	if err != nil {
		return err
	}
	return schema.Validate(v)
}
