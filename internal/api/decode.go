package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// body is a request's body, read whole: it is decoded, and hashed for its Idempotency-Key.
type body []byte

// readBody reads at most MaxBodyBytes.
func readBody(r *http.Request) (body, error) {
	var buf bytes.Buffer
	if n := r.ContentLength; n > 0 && n < 64<<10 {
		buf.Grow(int(n) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(r.Body); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, err
		}
		return nil, fault("invalid_request", "the body could not be read to its end")
	}
	return buf.Bytes(), nil
}

// decode reads one JSON value into v. Fields that v does not have, and anything after the value, are refused.
func (b body) decode(v any) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return fault("invalid_request", "the body is empty; a JSON object is expected")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fault("invalid_request", "%s", jsonTrouble(err))
	}
	if _, err := dec.Token(); err != io.EOF {
		return fault("invalid_request", "there is something after the JSON value")
	}
	return nil
}

// jsonTrouble says what is wrong with a JSON text in a sentence that shows nothing of our types.
func jsonTrouble(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := wrong.Field
		if field == "" {
			field = "the body"
		}
		return field + ": a JSON " + wrong.Value + " does not fit here; expected " + jsonKind(wrong)
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return "the body is not JSON: " + syntax.Error()
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return "unknown field " + field
	}
	return "the body is not JSON: it ends too early or holds something that does not belong there"
}

func jsonKind(err *json.UnmarshalTypeError) string {
	switch k := err.Type.Kind().String(); {
	case strings.HasPrefix(k, "int"), strings.HasPrefix(k, "uint"):
		return "an integer"
	case k == "string":
		return "a string"
	case k == "slice":
		return "an array"
	case k == "bool":
		return "true or false"
	}
	return "an object"
}

// hashRequest tells requests apart that come with the same Idempotency-Key: method, path and body, as api.md has it.
// It is the first 8 bytes of their SHA-256.
func hashRequest(r *http.Request, b body) uint64 {
	h := sha256.New()
	io.WriteString(h, r.Method)            //nolint:errcheck // a hash never fails
	io.WriteString(h, "\n")                //nolint:errcheck
	io.WriteString(h, r.URL.EscapedPath()) //nolint:errcheck
	io.WriteString(h, "\n")                //nolint:errcheck
	h.Write(b)
	return binary.BigEndian.Uint64(h.Sum(nil))
}
