package eventlog

import (
	"strings"
	"testing"
)

// FuzzCompactAgreesWithEncodingJSON: compact accepts what encoding/json does, without white space, and nothing else.
func FuzzCompactAgreesWithEncodingJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":1}`, `{"a":[]}`, `{"a":[1,-0.5e+7,true,false,null,"x"]}`, `{"a":{"b":{"c":[[],[{}]]}}}`,
		`{"sku":"85123A","quantity":3}`, `{"a":"\"\\\/\b\f\n\r\tA"}`, `{"a":"ä€😀"}`, "{\"a\":\"\xff\"}", "{\"a\":\"\x1f\"}",
		`{"a": 1}`, `{"a":1 }`, ` {}`, `{} `, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e}`, `{"a":-}`, `{"a":+1}`, `{"a":00}`,
		`{"a":1,}`, `{,"a":1}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1]`, `{"a":[1}`, `{"a":[1,]}`, `{"a":[,1]}`, `{}{}`, `{`, `{"`, `{"a`,
		`{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12G4"}`, `{"a":"\`, `{"a":tru}`, `{"a":truee}`, `{"a":nul`, `{"a":"b" "c"}`,
		`{"a":` + strings.Repeat("[", 62) + strings.Repeat("]", 62) + `}`,
		`{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) == 0 || p[0] != '{' {
			return
		}
		depth, most := 0, 0
		for _, c := range p { // an upper bound: brackets in strings count as well
			switch c {
			case '{', '[':
				depth++
			}
			most = max(most, depth)
		}
		got, want := compact(p), checkSlowly(p)
		if got != (want == nil) && (got || most <= compactDepth) {
			t.Errorf("compact(%q) is %t, encoding/json says %v", p, got, want)
		}
	})
}

func BenchmarkCheckPayload(b *testing.B) {
	p := []byte(`{"sku":"85123A","quantity":3,"price":24900,"orgPrice":29900,"name":"White hanging heart T-light holder","tax":2500}`)
	b.SetBytes(int64(len(p)))
	for b.Loop() {
		if err := CheckPayload(p); err != nil {
			b.Fatal(err)
		}
	}
}
