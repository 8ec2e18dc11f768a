package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// body is a request's body, read whole: it is decoded, and hashed for its Idempotency-Key.
type body []byte

// readBody reads the whole body, up to MaxBodyBytes. From now on the request is worked on.
func readBody(r *http.Request) (body, error) {
	var b []byte
	var err error
	x := exchangeOf(r)
	limit := x.server.MaxBodyBytes
	if r.ContentLength > limit {
		return nil, &http.MaxBytesError{Limit: limit} // without a look at it
	}
	if n := r.ContentLength; 0 <= n && n <= smallBody { // as most clients say, and net/http reads no more
		b = make([]byte, n)
		_, err = io.ReadFull(r.Body, b)
	} else {
		b, err = x.readLarge(http.MaxBytesReader(x.answer.ResponseWriter, r.Body, limit)) // net/http's own, whose connection it closes
	}
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, err
		}
		if p, ok := errors.AsType[*problem](err); ok {
			return nil, p
		}
		return nil, fault("invalid_request", "the body could not be read to its end")
	}
	if depth := x.server.MaxDepth; tooDeep(b, depth) {
		return nil, fault("invalid_request", "the body is nested deeper than %d levels", depth)
	}
	return b, x.enter()
}

const (
	// smallBody is up to which size a body is read into memory that is not counted.
	smallBody = 16 << 10
	// maxBuffered bounds the memory that all larger bodies take together, while they come and until they are answered.
	maxBuffered = 256 << 20
)

// readLarge reads a body, and takes memory for it as it comes: a length that was promised costs nothing.
func (x *exchange) readLarge(r io.Reader) ([]byte, error) {
	var b []byte
	for {
		if len(b) == cap(b) {
			more := int64(max(smallBody, cap(b)))
			x.buffered += more
			if x.server.buffered.Add(more) > max(maxBuffered, 4*x.server.MaxBodyBytes) {
				return nil, fault("unavailable", "too many large requests at once; nothing was changed")
			}
			b = append(make([]byte, 0, int64(cap(b))+more), b...)
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// decode reads one JSON object into v. It takes names as they are written, and refuses those that v does not have,
// names that come twice, text that is not UTF-8, null among attributes, and anything after the object: a request that
// could be read in two ways is read in none.
func (b body) decode(v any) error {
	text := bytes.TrimLeft(b, " \t\r\n")
	if len(text) == 0 {
		return fault("invalid_request", "the body is empty; a JSON object is expected")
	}
	if err := json.Unmarshal(b, v, strict); err != nil {
		return fault("invalid_request", "%s", jsonTrouble(err))
	}
	if text[0] != '{' { // null fits everything
		return fault("invalid_request", "a JSON object is expected")
	}
	return nil
}

var (
	strict = json.JoinOptions(
		json.RejectUnknownMembers(true),
		json.WithUnmarshalers(json.UnmarshalFromFunc(noNullAttribute)),
	)
	errNull = errors.New("null is no string")
)

// noNullAttribute refuses the null that would otherwise become the empty string. Elsewhere null is as good as nothing.
func noNullAttribute(dec *jsontext.Decoder, _ *string) error {
	if dec.PeekKind() == 'n' && strings.HasSuffix(string(dec.StackPointer().Parent()), "/attributes") {
		return errNull
	}
	return errors.ErrUnsupported
}

// jsonTrouble says what is wrong with a JSON text in a sentence that shows nothing of our types.
func jsonTrouble(err error) string {
	if wrong, ok := errors.AsType[*json.SemanticError](err); ok {
		at := fieldPath(wrong.JSONPointer)
		if errors.Is(wrong.Err, json.ErrUnknownName) {
			return fmt.Sprintf("unknown field %.200q", at)
		}
		what, _, _ := strings.Cut(wrong.JSONKind.String(), " ")
		if wrong.JSONValue != nil && len(wrong.JSONValue) <= 40 {
			what += " " + wrong.JSONValue.String()
		}
		if at == "" {
			at = "the body"
		}
		return fmt.Sprintf("%.200s: %s does not fit here; expected %s", at, what, jsonKind(wrong.GoType))
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(syntax.Err, jsontext.ErrDuplicateName) {
			return fmt.Sprintf("the field %.200q is there twice", fieldPath(syntax.JSONPointer))
		}
		return fmt.Sprintf("the body is not JSON: %s at byte %d", strings.TrimPrefix(syntax.Err.Error(), "jsontext: "), syntax.ByteOffset)
	}
	return "the body is not JSON: it ends too early"
}

// fieldPath writes a JSON pointer as clients name fields: items[0].quantity.
func fieldPath(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if _, err := strconv.ParseUint(token, 10, 32); err == nil && b.Len() > 0 {
			fmt.Fprintf(&b, "[%s]", token)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(token)
	}
	return b.String()
}

func jsonKind(t reflect.Type) string {
	if t == nil {
		return "something else"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return "an integer"
	case reflect.String:
		return "a string"
	case reflect.Slice:
		return "an array"
	case reflect.Bool:
		return "true or false"
	}
	return "an object"
}

// hashRequest tells requests apart that come with the same Idempotency-Key: method, path and body, as api.md has it, and
// the branch, "" for main: what was applied to another branch must not pass for this request. It is the first 8 bytes of
// their SHA-256.
func hashRequest(r *http.Request, branch string, b body) uint64 {
	h := sha256.New()
	io.WriteString(h, r.Method)            //nolint:errcheck // a hash never fails
	io.WriteString(h, "\n")                //nolint:errcheck
	io.WriteString(h, r.URL.EscapedPath()) //nolint:errcheck
	if branch != "" {
		io.WriteString(h, "?branch="+branch) //nolint:errcheck
	}
	io.WriteString(h, "\n") //nolint:errcheck
	h.Write(b)
	return binary.BigEndian.Uint64(h.Sum(nil))
}
