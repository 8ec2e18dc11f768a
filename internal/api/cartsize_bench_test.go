package api_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// fill adds lines to a cart, all different, as a backend does.
func (s *shop) fill(cart string, lines int) {
	s.t.Helper()
	for from := 0; from < lines; from += 500 {
		var adds []string
		for i := from; i < min(from+500, lines); i++ {
			adds = append(adds, fmt.Sprintf(`{"type":"AddItem","payload":{"sku":"S-%d","quantity":1,"price":255,"tax":2500,"name":"White hanging heart"}}`, i))
		}
		s.want(s.request("POST", cart+"/mutations", `{"mutations":[`+strings.Join(adds, ",")+`]}`, append(asBackend, "Prefer", "return=minimal")...), 200, "")
	}
}

// BenchmarkAddByCartSize adds a unit to a line of carts of several sizes, over HTTP, on a store in memory, and asks for a minimal
// answer: what it costs must not depend on the size. Client and server are one process.
func BenchmarkAddByCartSize(b *testing.B) {
	for _, lines := range []int{1, 100, 1000, 5000} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			s := openShop(b, nil)
			cart := s.newCart()
			s.fill(cart, lines-1)
			add := func() {
				req, err := http.NewRequestWithContext(b.Context(), "POST", s.url+cart+"/items", strings.NewReader(`{"sku":"85123A","quantity":1}`))
				if err != nil {
					b.Fatal(err)
				}
				req.Header.Set("Prefer", "return=minimal")
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Fatal(resp.Status)
				}
			}
			add() // makes the line
			b.ReportAllocs()
			for b.Loop() {
				add()
			}
		})
	}
}
