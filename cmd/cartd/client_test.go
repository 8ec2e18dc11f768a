//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// answer is what a server said, read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// cart is the part of a cart that the tests look at.
type cart struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
	Items   []item `json:"items"`
	Damaged bool   `json:"damaged"`
	Total   price  `json:"totalPrice"`
}

type item struct {
	SKU   string `json:"sku"`
	Qty   int64  `json:"qty"`
	Total price  `json:"totalPrice"`
}

type price struct {
	IncVAT int64            `json:"incVat"`
	VAT    map[string]int64 `json:"vat"`
}

// problem is an error answer (RFC 9457).
type problem struct {
	Code     string `json:"code"`
	Status   int    `json:"status"`
	Title    string `json:"title"`
	Type     string `json:"type"`
	Detail   string `json:"detail"`
	Instance string `json:"instance"`
}

// try sends a request with the backend token; header holds names and values in turn.
func (s *server) try(method, path, body string, header ...string) (answer, error) {
	req, err := http.NewRequest(method, s.api+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	return readAnswer(resp)
}

func readAnswer(resp *http.Response) (answer, error) {
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b}, err
}

// do is try for a request that must be answered with the status.
func (s *server) do(t *testing.T, status int, method, path, body string, header ...string) answer {
	t.Helper()
	a, err := s.try(method, path, body, header...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if a.status != status {
		t.Fatalf("%s %s: %d %s, want %d", method, path, a.status, a.body, status)
	}
	return a
}

// cart reads a cart.
func (s *server) cart(t *testing.T, id string) cart {
	t.Helper()
	return decodeAs[cart](t, s.do(t, http.StatusOK, "GET", "/v1/carts/"+id, "").body)
}

func (s *server) create(t *testing.T, id string) {
	t.Helper()
	s.do(t, http.StatusCreated, "POST", "/v1/carts", newCart(id))
}

// add adds one unit of sku and returns the answer, which must be a 2xx.
func (s *server) add(t *testing.T, id, sku string) answer {
	t.Helper()
	return s.do(t, http.StatusOK, "POST", "/v1/carts/"+id+"/mutations", addItem(sku, 1, 100, ""), "Idempotency-Key", id+"/"+sku)
}

func newCart(id string) string { return fmt.Sprintf(`{"id":%q,"currency":"GBP"}`, id) }

// addItem is the body of a request to …/mutations.
func addItem(sku string, quantity, price int64, name string) string {
	return fmt.Sprintf(`{"mutations":[{"type":"AddItem","payload":{"sku":%q,"quantity":%d,"price":%d,"tax":0,"name":%q}}]}`, sku, quantity, price, name)
}

func decodeAs[T any](t *testing.T, b []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("decode %T from %q: %v", v, b, err)
	}
	return v
}

// wantProblem checks that a is a complete problem with one of the codes.
func wantProblem(t *testing.T, a answer, status int, codes ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d %s, want %d", a.status, a.body, status)
		return
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q of %s, want application/problem+json", got, a.body)
		return
	}
	p := decodeAs[problem](t, a.body)
	if !strings.Contains(" "+strings.Join(codes, " ")+" ", " "+p.Code+" ") {
		t.Errorf("code %q (%s), want %v", p.Code, p.Detail, codes)
	}
	if p.Status != status || p.Title == "" || p.Type == "" || p.Detail == "" || p.Instance == "" {
		t.Errorf("problem %s, want type, title, detail, instance and status %d", a.body, status)
	}
}

// metrics reads the values of all series without labels.
func (s *server) metrics(t *testing.T) map[string]float64 {
	t.Helper()
	resp, err := s.http.Get(s.ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	a, err := readAnswer(resp)
	if err != nil || a.status != http.StatusOK {
		t.Fatalf("/metrics: %d, error %v", a.status, err)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(a.body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(value, 64); err == nil {
			values[name] = v
		}
	}
	return values
}

// upkeep matches what a server writes in its data directory when nobody asks anything of it: the list of carts, which
// follows the log, and the journal's spare segment and checkpoint.
var upkeep = regexp.MustCompile(`^(readmodel\.db|oplog(/.*)?|journal/([0-9]+\.tmp|checkpoint(\.tmp)?))$`)

// tree reads all files under dir, but for a server's upkeep.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || d.IsDir() {
			files[name] = "" // a directory that was made is a difference too
			return err
		}
		if upkeep.MatchString(filepath.ToSlash(name)) {
			return nil
		}
		b, err := os.ReadFile(path)
		files[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// logFile returns the content of a cart's log.
func logFile(t *testing.T, data, id string) []byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(data, "carts", "??", id+".events.log"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("logs of cart %s: %v, error %v; want one", id, paths, err)
	}
	b, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(b)
}
