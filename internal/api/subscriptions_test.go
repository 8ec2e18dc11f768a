package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"cartd/internal/api"
	"cartd/internal/subscription"
)

// openSubscriptions starts a shop with durable subscriptions.
func openSubscriptions(t *testing.T) *shop {
	t.Helper()
	return openShop(t, func(o *api.Options) { subscribe(t, o, nil) })
}

// subscribe adds durable subscriptions, whose webhooks are called through a transport.
func subscribe(t *testing.T, o *api.Options, transport http.RoundTripper) {
	o.Subscriptions = subscription.Open(filepath.Join(t.TempDir(), "subscriptions.db"), subscription.Options{
		Log: o.Streams.Log.(subscription.Log), Event: api.AppendEvent, Transport: transport, Backlog: 1, // or nothing would be compacted here
	})
	t.Cleanup(func() {
		if err := o.Subscriptions.Close(); err != nil {
			t.Error(err)
		}
	})
}

// noWayOut is a network that is down.
type noWayOut struct{}

func (noWayOut) RoundTrip(*http.Request) (*http.Response, error) { return nil, io.ErrClosedPipe }

func TestPolledSubscriptionGoesThroughTheFeed(t *testing.T) {
	s := openSubscriptions(t)
	s.threeCarts() // carts at 1, 2, 4, 5, 7 and 8
	made := s.want(s.request("POST", "/v1/subscriptions", `{"name":"mail","after":0,"types":["AddItem","CartCreated"]}`, asBackend...), 201, "")
	if made.header.Get("Location") != "/v1/subscriptions/mail" || made.field("name") != "mail" || made.field("position") != "0" || made.field("head") != "8" || made.field("createdAt") == "" || made.field("webhook") != "" {
		t.Errorf("got %s at %s", made.body, made.header.Get("Location"))
	}
	s.want(s.request("POST", "/v1/subscriptions", `{"name":"mail","types":["AddItem","CartCreated"]}`, asBackend...), 200, "")
	s.want(s.request("POST", "/v1/subscriptions", `{"name":"mail"}`, asBackend...), 409, "subscription_exists")
	if a := s.want(s.request("POST", "/v1/subscriptions", `{"name":"now"}`, asBackend...), 201, ""); a.field("position") != "8" || a.field("types") != "[]" {
		t.Errorf("without after: %s, want the head", a.body)
	}
	read := func(query string) (p feedPage) {
		t.Helper()
		a := s.want(s.request("GET", "/v1/subscriptions/mail/events"+query, "", asBackend...), 200, "")
		if err := json.Unmarshal(a.body, &p); err != nil || p.Incarnation != a.header.Get("Cartd-Incarnation") {
			t.Fatal(string(a.body), err)
		}
		return p
	}
	for range 2 { // the same until it is acknowledged
		if p := read("?limit=3"); fmt.Sprint(p.positions()) != "[1 2 4]" || p.Next != 4 || p.Head != 8 {
			t.Errorf("got %+v", p)
		}
	}
	s.want(s.request("POST", "/v1/subscriptions/mail/ack", `{"position":4}`, asBackend...), 200, "")
	s.want(s.request("POST", "/v1/subscriptions/mail/ack", `{"position":2}`, asBackend...), 200, "")
	if p := read(""); fmt.Sprint(p.positions()) != "[5 8]" {
		t.Errorf("behind 4: %v, want 5 and 8", p.positions())
	}
	s.store.Compact(5)
	s.want(s.request("POST", "/v1/subscriptions", `{"name":"mail","after":0,"types":["AddItem","CartCreated"]}`, asBackend...), 200, "") // as each start of a backend may send it
	gone := s.want(s.request("GET", "/v1/subscriptions/mail/events", "", asBackend...), 410, "position_compacted")
	s.want(s.request("POST", "/v1/subscriptions", `{"name":"late","after":4}`, asBackend...), 410, "position_compacted")
	s.want(s.request("POST", "/v1/subscriptions", `{"name":"early","after":9}`, asBackend...), 410, "position_compacted")
	if gone.field("earliest") != "6" {
		t.Errorf("got %s, want earliest 6", gone.body)
	}
	s.want(s.request("POST", "/v1/subscriptions/mail/ack", `{"position":5}`, asBackend...), 200, "")
	if p := read(""); fmt.Sprint(p.positions()) != "[8]" {
		t.Errorf("behind the earliest: %v, want 8", p.positions())
	}
	s.want(s.request("DELETE", "/v1/subscriptions/mail", "", asBackend...), 204, "")
	s.want(s.request("DELETE", "/v1/subscriptions/mail", "", asBackend...), 404, "not_found")
	if a := s.want(s.request("GET", "/v1/subscriptions", "", asBackend...), 200, ""); a.field("subscriptions.0.name") != "now" || a.field("subscriptions.1") != "" {
		t.Errorf("got %s, want the other one", a.body)
	}
}

func TestOddRequestsForSubscriptionsAreRefused(t *testing.T) {
	s := openSubscriptions(t)
	s.want(s.request("POST", "/v1/subscriptions", `{"name":"a"}`, asBackend...), 201, "")
	s.want(s.request("POST", "/v1/subscriptions", `{"name":"h","webhook":{"url":"http://127.0.0.1:1/"}}`, asBackend...), 201, "")
	for _, tc := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "", `{`, 400, "invalid_request"},
		{"POST", "", ``, 400, "invalid_request"},
		{"POST", "", `{"name":"b","surprise":1}`, 400, "invalid_request"},
		{"POST", "", `{"name":"b","after":-1}`, 400, "invalid_request"},
		{"POST", "", `{"name":"b","after":1.5}`, 400, "invalid_request"},
		{"POST", "", `{"name":"B"}`, 422, "validation_failed"},
		{"POST", "", `{"name":"b","types":["a b"]}`, 422, "validation_failed"},
		{"POST", "", `{"name":"b","webhook":{"url":"ftp://x/"}}`, 422, "validation_failed"},
		{"POST", "", `{"name":"b","webhook":{"url":"http://x/","secret":"short"}}`, 422, "validation_failed"},
		{"PUT", "", `{}`, 405, "method_not_allowed"},
		{"GET", "/none", "", 404, "not_found"},
		{"GET", "/none/events", "", 404, "not_found"},
		{"POST", "/none/ack", `{"position":0}`, 404, "not_found"},
		{"GET", "/none/dead-letters", "", 404, "not_found"},
		{"GET", "/a%2Fb", "", 404, "not_found"},
		{"GET", "/a/events?limit=0", "", 422, "validation_failed"},
		{"GET", "/a/events?after=1", "", 400, "invalid_request"},
		{"GET", "/a/dead-letters?limit=x", "", 400, "invalid_request"},
		{"POST", "/a/ack", `{}`, 422, "validation_failed"},
		{"POST", "/a/ack", `{"position":1}`, 422, "validation_failed"},
		{"POST", "/a/ack", `{"position":"1"}`, 400, "invalid_request"},
		{"POST", "/h/ack", `{"position":0}`, 422, "validation_failed"},
	} {
		if a := s.request(tc.method, "/v1/subscriptions"+tc.path, tc.body, asBackend...); a.status != tc.status || a.field("code") != tc.code {
			t.Errorf("%s %s %s: %d %s, want %d %s", tc.method, tc.path, tc.body, a.status, a.body, tc.status, tc.code)
		}
		if tc.status != 405 {
			s.want(s.request(tc.method, "/v1/subscriptions"+tc.path, tc.body), 401, "unauthorized")
		}
	}
}

func TestWebhookIsToldAndItsSecretIsShownOnce(t *testing.T) {
	s := openSubscriptions(t)
	got := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var ev struct {
			Type string
			Data json.RawMessage
		}
		if err := json.NewDecoder(r.Body).Decode(&ev); err != nil {
			t.Error(err)
		}
		got <- ev.Type + " " + string(ev.Data)
	}))
	defer receiver.Close()
	made := s.want(s.request("POST", "/v1/subscriptions", `{"name":"hook","types":["AddItem"],"webhook":{"url":"`+receiver.URL+`"}}`, asBackend...), 201, "")
	secret := made.field("webhook.secret")
	if key, err := subscription.ParseSecret(secret); err != nil || len(key) != 32 {
		t.Errorf("the secret is %q, %v", secret, err)
	}
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	page := s.want(s.request("GET", "/v1/events?after=1", "", asBackend...), 200, "")
	if ev, want := <-got, "cartd.AddItem "+page.field("events.0"); !jsonSame(ev, want) {
		t.Errorf("got %s, want %s", ev, want)
	}
	for _, path := range []string{"", "/hook", "/hook/dead-letters"} {
		if a := s.want(s.request("GET", "/v1/subscriptions"+path, "", asBackend...), 200, ""); strings.Contains(string(a.body), secret) {
			t.Errorf("GET %s shows the secret: %s", path, a.body)
		}
	}
	again := s.want(s.request("POST", "/v1/subscriptions", `{"name":"hook","types":["AddItem"],"webhook":{"url":"`+receiver.URL+`","secret":"`+secret+`"}}`, asBackend...), 200, "")
	if strings.Contains(string(again.body), "whsec_") {
		t.Errorf("the same again shows the secret: %s", again.body)
	}
	if a := s.request("GET", "/v1/subscriptions/hook/dead-letters", "", asBackend...); string(a.body) != `{"deadLetters":[],"next":0,"total":0}` {
		t.Errorf("dead letters are %s", a.body)
	}
}

// jsonSame compares a word and an object behind it.
func jsonSame(a, b string) bool {
	word := func(s string) (string, any) {
		name, text, _ := strings.Cut(s, " ")
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			return "", text
		}
		return name, v
	}
	an, av := word(a)
	bn, bv := word(b)
	return an == bn && an != "" && fmt.Sprint(av) == fmt.Sprint(bv)
}
