package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// mutator makes bad requests of good ones, the same ones for the same seed. About a third stays good.
type mutator struct{ *rand.Rand }

func pick[T any](m *mutator, list ...T) T { return list[m.IntN(len(list))] }

// chance is true once in n times.
func (m *mutator) chance(n int) bool { return m.IntN(n) == 0 }

func (m *mutator) mutate(a asked) asked {
	var header strings.Builder
	if !m.chance(6) {
		header.WriteString(a.header + "\n")
	} else if m.chance(2) {
		header.WriteString("Authorization: " + pick(m, "Bearer", "Bearer wrong", "Basic eDp5", "") + "\n")
	}
	if m.chance(4) {
		fmt.Fprintf(&header, "Idempotency-Key: %s\n", pick(m, "k1", "k2", "k3", "", "not visible", strings.Repeat("x", 256), "é"))
	}
	if m.chance(6) {
		fmt.Fprintf(&header, "%s: %s\n", pick(m, "If-Match", "If-None-Match"), pick(m, `"main-2"`, `W/"main-2"`, `*`, `"main-1", "main-2"`, "main-2", `"gift-2"`, `"`, ","))
	}
	if m.chance(6) {
		fmt.Fprintf(&header, "Prefer: %s\n", pick(m, "return=minimal", "return=representation", `Return="minimal"; x=y, wait=1`, "\xff"))
	}
	if m.chance(8) {
		fmt.Fprintf(&header, "%s: %s\n", pick(m, "X-Request-Id", "Accept-Encoding", "Accept", "Content-Type"), pick(m, "x", "gzip;q=0", "text/event-stream", "text/plain", "{}"))
	}
	if m.chance(20) {
		fmt.Fprintf(&header, "Accept: text/event-stream\nLast-Event-ID: %s\n", pick(m, "", "0", "1", "2", "99999", "x", "-1", "18446744073709551615"))
	}
	a.header = header.String()
	if m.chance(25) {
		a.method = pick(m, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW")
	}
	if m.chance(6) {
		a.target = m.path(a.target)
	}
	if m.chance(6) {
		a.target += "?" + m.query()
	}
	if m.chance(2) {
		a.body = m.body(a.body)
	}
	return a
}

func (m *mutator) path(p string) string {
	switch m.IntN(4) {
	case 0:
		return strings.Replace(p, "{cart}", pick(m, "nobody", "..", "%2e%2e", "a%2Fb", "%00", "-a", strings.Repeat("x", 65), "é", "%zz"), 1)
	case 1:
		return strings.Replace(p, "/1", "/"+pick(m, "0", "2", "99", "-1", "01", "4294967296", "x", "1%2F1"), 1)
	case 2:
		return p + pick(m, "/", "//", "/x", "%2F", ";x")
	}
	return strings.Replace(p, "/", pick(m, "//", "/./", "/V1/"), 1)
}

func (m *mutator) query() string {
	var q []string
	for range 1 + m.IntN(3) {
		q = append(q, pick(m, "branch", "limit", "after", "type", "since", "until", "status", "userId", "updatedBefore", "cursor", "version", "cart", "incarnation", "%zz")+"="+
			pick(m, "main", "gift", "1", "1000", "1001", "0", "-1", "", "x", "AddItem,X", "2026-11-21T14:00:00Z", "2026-11-21", "open", "%00", "9223372036854775808", "a;b"))
	}
	return strings.Join(q, "&")
}

// body changes a body: as JSON mostly, so that it comes past the decoder, else its bytes.
func (m *mutator) body(b []byte) []byte {
	var v any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if dec.Decode(&v) == nil && !m.chance(6) {
		v = m.value(v)
		changed, _ := json.Marshal(v) // what was decoded can be
		return changed
	}
	b = bytes.Clone(b)
	switch m.IntN(6) {
	case 0:
		return b[:m.IntN(len(b)+1)]
	case 1:
		return append(b, pick(m, " {}", "x", "\x00", "\n\n")...)
	case 2:
		return []byte(pick(m, "", " ", "null", "[]", `"x"`, "7", "\xff\xfe", `{"a":`+strings.Repeat("[", 11_000)))
	case 3:
		if !m.chance(4) { // it is much to read
			break
		}
		return append([]byte(`{"country":"`), append(bytes.Repeat([]byte("x"), 1<<20), `"}`...)...)
	}
	if len(b) > 0 {
		b[m.IntN(len(b))] = byte(m.IntN(256))
	}
	return b
}

// value changes one thing somewhere in v.
func (m *mutator) value(v any) any {
	switch v := v.(type) {
	case map[string]any:
		names := slices.Sorted(maps.Keys(v))
		switch {
		case m.chance(6) || len(names) == 0:
			v[pick(m, "nonsense", "id", "quantity", "country", "attributes", "items", "data", "type", "")] = m.other()
		case m.chance(6):
			delete(v, pick(m, names...))
		default:
			name := pick(m, names...)
			v[name] = m.value(v[name])
		}
		return v
	case []any:
		switch {
		case len(v) == 0 || m.chance(6):
			return append(v, m.other())
		case m.chance(8):
			return slices.Repeat(v, pick(m, 2, 30, 1001))
		}
		i := m.IntN(len(v))
		v[i] = m.value(v[i])
		return v
	}
	return m.other()
}

func (m *mutator) other() any {
	return pick[any](m, nil, true, "", "x", "GB", "85123A", "\x00", "\u2028\"\\", strings.Repeat("é", 300), json.Number("0"), json.Number("1"), json.Number("-1"),
		json.Number("1.5"), json.Number("1000001"), json.Number("4294967296"), json.Number("9223372036854775807"), json.Number("9223372036854775808"), json.Number("1e400"),
		[]any{}, []any{json.Number("1")}, map[string]any{}, map[string]any{"a": "b"}, map[string]any{"a": nil})
}
