package subscription

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"cartd/internal/eventlog"
)

// contentType is that of CloudEvents 1.0 in structured mode.
const contentType = "application/cloudevents+json; charset=utf-8"

// refusal is why a try has failed.
type refusal struct {
	why      string        // without the URL
	after    time.Duration // the receiver's Retry-After; 0 if it says nothing
	answered bool
}

// newTransport returns what carries the calls.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost, t.MaxIdleConns = workers, workers*MaxSubscriptions
	t.MaxResponseHeaderBytes = 16 << 10
	t.DisableCompression = true // what would be unpacked is not read
	return t
}

// newClient returns a client that stays where it is sent: where a redirect leads nobody has said that events may go.
func newClient(t http.RoundTripper, timeout time.Duration) *http.Client {
	return &http.Client{Transport: t, Timeout: timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send sends an event once. nil is a delivery.
func (m *Manager) send(ctx context.Context, to string, key []byte, ev *eventlog.Event) *refusal {
	body := m.cloudEvent(ev)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return &refusal{why: "the URL cannot be used"}
	}
	id, now := messageID(ev), strconv.FormatInt(time.Now().Unix(), 10)
	h := req.Header
	h.Set("Content-Type", contentType)
	h.Set("User-Agent", "cartd")
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", now)
	h.Set("Webhook-Signature", Sign(key, id, now, body))
	resp, err := m.client.Do(req)
	if err != nil {
		return &refusal{why: reasonOf(err)}
	}
	defer resp.Body.Close()
	io.CopyN(io.Discard, resp.Body, 4<<10) //nolint:errcheck // that the connection can be used again, if there is not more
	if resp.StatusCode/100 == 2 {
		return nil
	}
	r := &refusal{why: "answered " + strconv.Itoa(resp.StatusCode), answered: true}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s > 0 {
		r.after = min(time.Duration(s), maxWait/time.Second) * time.Second
	}
	return r
}

// reasonOf says why there was no answer, without the URL, and without what net/http repeats of an answer that it cannot read:
// both may hold what is nobody's business.
func reasonOf(err error) string {
	if u, ok := errors.AsType[*url.Error](err); ok && u.Timeout() {
		return "no answer in time"
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return e.Error()
	}
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return "the answer is not one of TLS"
	case errors.Is(err, io.EOF):
		return "the connection was closed without an answer"
	}
	return "the answer cannot be read"
}

// Sign returns the webhook-signature of a body as Standard Webhooks has it (github.com/standard-webhooks, "Signature
// scheme").
func Sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	io.WriteString(mac, id+"."+timestamp+".") //nolint:errcheck // it never fails
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// messageID names an event among those of all carts for ever; it has no full stop.
func messageID(ev *eventlog.Event) string { return ev.Stream.Name() + "_" + ev.ID.String() }

// cloudEvent returns an event as a CloudEvent (CloudEvents 1.0.2, JSON format 1.0.2).
func (m *Manager) cloudEvent(ev *eventlog.Event) []byte {
	kind, err := json.Marshal("cartd." + ev.Type)
	if err != nil { // cannot be: it is a string
		kind = []byte(`"cartd"`)
	}
	cart := ev.Stream.Name() // of characters that need no escapes, here and in a path
	b := make([]byte, 0, len(ev.Payload)+512)
	b = append(b, `{"specversion":"1.0","id":"`+ev.ID.String()+`","source":"/v1/carts/`+cart+`","type":`...)
	b = append(b, kind...)
	b = append(b, `,"subject":"`+cart+`","time":"`...)
	b = ev.Time.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","datacontenttype":"application/json","data":`...)
	return append(m.opts.Event(b, ev), '}')
}
