package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"cartd/internal/api"
	"cartd/internal/catalog"
)

const (
	traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	itsTrace    = "0af7651916cd43dd8448eb211c80319c"
)

func TestChangeIsTracedFromTheRequestToTheLog(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	s := openShop(t, func(o *api.Options) { o.Tracer = provider.Tracer("test") })
	cart := s.newCart()
	before := len(spans.Ended())
	s.want(s.request("POST", cart+"/items", addLantern, "Traceparent", traceparent, "X-Request-Id", "my-id"), 200, "")
	s.waitInFlight(0)
	ended := spans.Ended()[before:]
	byName := map[string]sdktrace.ReadOnlySpan{}
	for _, span := range ended {
		byName[span.Name()] = span
		if got := span.SpanContext().TraceID().String(); got != itsTrace {
			t.Errorf("span %s is of trace %s, want the caller's", span.Name(), got)
		}
	}
	request, ask, commit := byName["POST /v1/carts/{id}/items"], byName["ask cart"], byName["append"]
	if len(ended) != 3 || request == nil || ask == nil || commit == nil {
		t.Fatalf("spans %v, want those of the request, the ask and the append", byName)
	}
	if request.Parent().SpanID().String() != "b7ad6b7169203331" || ask.Parent().SpanID() != request.SpanContext().SpanID() || commit.Parent().SpanID() != ask.SpanContext().SpanID() {
		t.Error("the append is not within the ask, or that not within the request, or that not within the caller's span")
	}
	attributes := attribute.NewSet(request.Attributes()...)
	for key, want := range map[attribute.Key]attribute.Value{
		"http.request.method": attribute.StringValue("POST"), "http.route": attribute.StringValue("/v1/carts/{id}/items"),
		"http.response.status_code": attribute.IntValue(200), "cartd.request_id": attribute.StringValue("my-id"),
	} {
		if got, _ := attributes.Value(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}

	// A failure shows in the spans.
	s.store.FailNext(errors.New("disk"))
	before = len(spans.Ended())
	s.want(s.request("POST", cart+"/items", addLantern), 504, "outcome_unknown")
	s.waitInFlight(0)
	failed := map[string]codes.Code{}
	for _, span := range spans.Ended()[before:] {
		failed[span.Name()] = span.Status().Code
	}
	if failed["POST /v1/carts/{id}/items"] != codes.Error || failed["append"] != codes.Error {
		t.Errorf("the spans of a change that was not stored are %v, want errors", failed)
	}
}

// logLines is where a test finds what was logged.
type logLines struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// find returns the records with a message.
func (l *logLines) find(t *testing.T, msg string) (found []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if record["msg"] == msg {
			found = append(found, record)
		}
	}
	return found
}

// Who reports an error names the request, and the log knows more of it than the answer says.
func TestErrorsAreFoundInTheLogByTheirRequest(t *testing.T) {
	var logged logLines
	s := openShop(t, func(o *api.Options) {
		o.Logger = slog.New(slog.NewJSONHandler(&logged, nil))
	})
	cart := s.newCart()
	s.catalog.fail(errors.Join(catalog.ErrUnavailable, errors.New("dial tcp 10.1.2.3:443: secret-host")))
	a := s.want(s.request("POST", cart+"/items", addLantern, "X-Request-Id", "order-17.a_B", "Traceparent", traceparent), 502, "catalog_unavailable")
	if a.header.Get("X-Request-Id") != "order-17.a_B" || a.field("requestId") != "order-17.a_B" || a.field("instance") != cart+"/items" {
		t.Errorf("the answer %s has the id %s, want the caller's", a.body, a.header.Get("X-Request-Id"))
	}
	if strings.Contains(string(a.body), "secret-host") || strings.Contains(string(a.body), "10.1.2.3") {
		t.Errorf("the answer tells of the inside: %s", a.body)
	}
	records := logged.find(t, "request failed")
	if len(records) != 1 || records[0]["request"] != "order-17.a_B" || records[0]["trace"] != itsTrace || !strings.Contains(records[0]["err"].(string), "secret-host") {
		t.Errorf("logged %v, want the request, its trace and what happened", records)
	}

	for _, bad := range []string{"", "two words", "new\tline", strings.Repeat("x", 65), "<script>", "käse"} {
		a := s.want(s.request("GET", "/v1/carts/nobody", "", "X-Request-Id", bad, "Traceparent", "00-xyz-1-01"), 404, "cart_not_found")
		id := a.header.Get("X-Request-Id")
		if len(id) != 26 || id == bad || a.field("requestId") != id {
			t.Errorf("for %q the id is %q and in the problem %q, want one that was made here", bad, id, a.field("requestId"))
		}
	}
	if ok := s.want(s.request("GET", cart, ""), 200, ""); ok.header.Get("X-Request-Id") == "" {
		t.Error("an answer that is no error has no id")
	}
}
