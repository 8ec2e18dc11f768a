package conform_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"cartd/internal/api/openapi/conform"
)

// exchange is one that is as the contract has it, to be spoilt.
func exchange() conform.Exchange {
	return conform.Exchange{
		Method: "GET", Target: "/v1/carts/c/events?limit=2&type=A,B", Header: http.Header{"X-Request-Id": {"r"}},
		Status: 200, AnswerHeader: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"r"}},
		Answer: []byte(`{"events":[],"next":0,"head":1}`),
	}
}

// problem makes the answer of x an error.
func problem(x *conform.Exchange, status int, code string) {
	x.Status = status
	x.AnswerHeader.Set("Content-Type", "application/problem+json")
	x.Answer = fmt.Appendf(nil, `{"type":"urn:cartd:problem:%s","title":"T","status":%d,"detail":"d","instance":"/i","code":%q,"requestId":"r"}`, code, status, code)
}

func TestWhatIsAsTheContractHasItPasses(t *testing.T) {
	for name, change := range map[string]func(*conform.Exchange){
		"as it is":                func(*conform.Exchange) {},
		"trailing slash":          func(x *conform.Exchange) { x.Target = "/v1/carts/c/events/" },
		"head":                    func(x *conform.Exchange) { x.Method, x.Answer = "HEAD", nil },
		"Last-Event-ID of a page": func(x *conform.Exchange) { x.Header.Set("Last-Event-ID", "x") },
		"a stream": func(x *conform.Exchange) {
			x.Header.Set("Last-Event-ID", "")
			x.AnswerHeader.Set("Content-Type", "text/event-stream")
			x.Answer = nil
		},
		"bad limit, refused": func(x *conform.Exchange) {
			x.Target = "/v1/carts/c/events?limit=0"
			problem(x, 422, "validation_failed")
		},
		"no such path": func(x *conform.Exchange) { x.Target = "/v3"; problem(x, 404, "not_found") },
		"no such method": func(x *conform.Exchange) {
			x.Method = "PATCH"
			problem(x, 405, "method_not_allowed")
			x.AnswerHeader.Set("Allow", "GET, HEAD, OPTIONS")
		},
		"options": func(x *conform.Exchange) {
			x.Method, x.Status, x.Answer = "OPTIONS", 204, nil
			x.AnswerHeader.Set("Allow", "GET, HEAD, OPTIONS")
		},
		"backend without tokens": func(x *conform.Exchange) {
			x.Target, x.Method = "/v1/carts/c/order", "PUT"
			problem(x, 404, "not_found")
		},
		"the name, not the variable": func(x *conform.Exchange) {
			x.Method, x.Target, x.Body = "POST", "/v1/carts", []byte(`{"country":null,"userId":null}`)
			problem(x, 503, "unavailable")
			x.AnswerHeader.Set("Retry-After", "1")
		},
	} {
		x := exchange()
		change(&x)
		if err := conform.Check(x); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsNotAsTheContractHasItIsFound(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*conform.Exchange)
		want   string
	}{
		"status":              {func(x *conform.Exchange) { x.Status = 202 }, "status 202"},
		"unknown member":      {func(x *conform.Exchange) { x.Answer = []byte(`{"events":[],"next":0,"head":1,"more":1}`) }, "'more'"},
		"unknown, further in": {func(x *conform.Exchange) { x.Answer = []byte(`{"events":[{"colour":1}],"next":0,"head":1}`) }, "'colour'"},
		"missing member":      {func(x *conform.Exchange) { x.Answer = []byte(`{"events":[],"next":0}`) }, "'head'"},
		"wrong type":          {func(x *conform.Exchange) { x.Answer = []byte(`{"events":null,"next":0,"head":1}`) }, "/events"},
		"no JSON":             {func(x *conform.Exchange) { x.Answer = []byte(`{"events":[]`) }, "EOF"},
		"type of content":     {func(x *conform.Exchange) { x.AnswerHeader.Set("Content-Type", "text/html") }, "text/html"},
		"stream of what has none": {func(x *conform.Exchange) {
			x.Target = "/v1/carts/c/branches"
			x.AnswerHeader.Set("Content-Type", "text/event-stream")
		}, "text/event-stream"},
		"stream without its id": {func(x *conform.Exchange) { x.AnswerHeader = http.Header{"Content-Type": {"text/event-stream"}} }, "X-Request-Id"},
		"bad Last-Event-ID": {func(x *conform.Exchange) {
			x.AnswerHeader.Set("Content-Type", "text/event-stream")
			x.Header.Set("Last-Event-ID", "x")
		}, "Last-Event-ID"},
		"missing header":            {func(x *conform.Exchange) { x.AnswerHeader.Del("X-Request-Id") }, "X-Request-Id"},
		"wrong header":              {func(x *conform.Exchange) { x.AnswerHeader.Set("X-Request-Id", "no token") }, "X-Request-Id"},
		"header twice":              {func(x *conform.Exchange) { x.AnswerHeader.Add("X-Request-Id", "r") }, "more than once"},
		"code of another status":    {func(x *conform.Exchange) { problem(x, 404, "cart_frozen") }, "code"},
		"code of no operation here": {func(x *conform.Exchange) { problem(x, 404, "item_not_found") }, "code"},
		"no such path":              {func(x *conform.Exchange) { x.Target = "/v3" }, "status 200"},
		"no such method":            {func(x *conform.Exchange) { x.Method = "PATCH" }, "status 200"},
		"methods":                   {func(x *conform.Exchange) { x.Method, x.Status, x.Answer = "OPTIONS", 204, nil }, "Allow"},
		"bad limit":                 {func(x *conform.Exchange) { x.Target = "/v1/carts/c/events?limit=1001" }, "limit"},
		"limit twice":               {func(x *conform.Exchange) { x.Target = "/v1/carts/c/events?limit=1&limit=2" }, "limit"},
		"bad id":                    {func(x *conform.Exchange) { x.Target = "/v1/carts/-c/events" }, "id"},
		"bad time":                  {func(x *conform.Exchange) { x.Target = "/v1/carts/c/events?since=yesterday" }, "since"},
		"backend":                   {func(x *conform.Exchange) { x.Target, x.Answer = "/v1/carts", []byte(`{"carts":[],"next":""}`) }, "no token"},
		"body":                      {func(x *conform.Exchange) { changed(x, `{"sku":"a","quantity":1,"price":1}`) }, "'price'"},
		"empty body":                {func(x *conform.Exchange) { changed(x, ``) }, "empty"},
		"null where it counts":      {func(x *conform.Exchange) { changed(x, `{"sku":"a","quantity":1,"attributes":{"a":null}}`) }, "attributes"},
		"key twice": {func(x *conform.Exchange) {
			changed(x, `{"sku":"a","quantity":1}`)
			x.Header["Idempotency-Key"] = []string{"a", "b"}
		}, "Idempotency-Key"},
	} {
		x := exchange()
		tt.change(&x)
		if err := conform.Check(x); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want something about %s", name, err, tt.want)
		}
	}
}

// changed makes x an add that was accepted.
func changed(x *conform.Exchange, body string) {
	x.Method, x.Target, x.Body = "POST", "/v1/carts/c/items", []byte(body)
	x.AnswerHeader.Set("ETag", `"main-2"`)
	x.Answer = []byte(`{"version":2,"mutations":[]}`)
}
