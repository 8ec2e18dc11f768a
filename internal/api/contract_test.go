package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"cartd/internal/api/openapi"
)

// contractDocument is the contract as far as these tests look at it.
type contractDocument struct {
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas   map[string]json.RawMessage `json:"schemas"`
		Responses map[string]json.RawMessage `json:"responses"`
	} `json:"components"`
}

func readContractDocument(t *testing.T) (d contractDocument) {
	t.Helper()
	if err := json.Unmarshal(openapi.JSON(), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestContractHasTheRoutesOfTheRouter(t *testing.T) {
	served := map[string]bool{}
	for _, route := range Routes() {
		served[route] = true
	}
	written := map[string]bool{}
	for path, item := range readContractDocument(t).Paths {
		for name := range item {
			if method := strings.ToUpper(name); slices.Contains([]string{"GET", "PUT", "POST", "PATCH", "DELETE"}, method) {
				written[method+" "+path] = true
			}
		}
	}
	for route := range served {
		if !written[route] {
			t.Errorf("the router has %s; the contract has not", route)
		}
	}
	for route := range written {
		if !served[route] {
			t.Errorf("the contract has %s; the router has not", route)
		}
	}
}

// codesOfProblems reads from the source which codes statusOf knows.
func codesOfProblems(t *testing.T) map[string]int {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "problem.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]int{"internal": http.StatusInternalServerError}
	ast.Inspect(file, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncDecl)
		if !ok || f.Name.Name != "statusOf" {
			return true
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				code, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				codes[code] = statusOf(code)
			}
			return true
		})
		return false
	})
	delete(codes, "not_applied") // of an outcome, never of a problem
	return codes
}

// codesOfContract returns the codes that the contract's problems have, by the statuses of the answers they are in.
func codesOfContract(t *testing.T, d contractDocument) map[string]int {
	t.Helper()
	codes := map[string]int{}
	for name, raw := range d.Components.Responses {
		var response struct {
			Content map[string]struct {
				Schema struct {
					AllOf []struct {
						Properties struct {
							Status struct{ Const int }
							Code   struct{ Enum []string }
						}
					}
				}
			}
		}
		if err := json.Unmarshal(raw, &response); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, part := range response.Content["application/problem+json"].Schema.AllOf {
			for _, code := range part.Properties.Code.Enum {
				if was, ok := codes[code]; ok && was != part.Properties.Status.Const {
					t.Errorf("%s has status %d in %s, %d elsewhere", code, part.Properties.Status.Const, name, was)
				}
				codes[code] = part.Properties.Status.Const
			}
		}
	}
	return codes
}

func TestContractHasTheCodesOfProblems(t *testing.T) {
	d := readContractDocument(t)
	var enum struct{ Enum []string }
	if err := json.Unmarshal(d.Components.Schemas["ProblemCode"], &enum); err != nil {
		t.Fatal(err)
	}
	want := codesOfProblems(t)
	for _, code := range enum.Enum {
		if _, ok := want[code]; !ok {
			t.Errorf("the contract has the code %s; problem.go has not", code)
		}
	}
	for code := range want {
		if !slices.Contains(enum.Enum, code) {
			t.Errorf("problem.go has the code %s; the contract has not", code)
		}
	}
	answered := codesOfContract(t, d)
	for code, status := range answered {
		if want[code] != status {
			t.Errorf("%s has status %d in the contract, %d in problem.go", code, status, want[code])
		}
	}
	if len(answered) != len(want) {
		t.Errorf("answers of the contract have the codes %v; problem.go has %v", slices.Sorted(maps.Keys(answered)), slices.Sorted(maps.Keys(want)))
	}
}

// The page that the contract is written from, where a checkout has it beside itself.
func TestProblemsHaveTheCodesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../../../shared/api.md")
	if err != nil {
		t.Skipf("*** NOT COMPARED with the page of the contract: %v", err)
	}
	want := codesOfProblems(t)
	delete(want, "subscription_exists") // ours: the page has the route, and no code for a name that is another's
	found := map[string]int{}
	cell := regexp.MustCompile(`\| ([a-z_]+[^|]*) \| ([0-9; ]+) `)
	for line := range strings.Lines(regexp.MustCompile(`\([^)]*\)`).ReplaceAllString(string(page), "")) {
		for _, m := range cell.FindAllStringSubmatch(line, -1) {
			statuses := strings.Split(m[2], ";")
			for i, group := range strings.Split(m[1], ";") {
				for code := range strings.SplitSeq(group, ",") {
					status, err := strconv.Atoi(strings.TrimSpace(statuses[min(i, len(statuses)-1)]))
					if err != nil {
						t.Fatalf("%s: %v", line, err)
					}
					found[strings.TrimSpace(code)] = status
				}
			}
		}
	}
	if !maps.Equal(found, want) {
		t.Errorf("the page has %v; problem.go has %v", found, want)
	}
}

func TestContractAndItsPageAreServed(t *testing.T) {
	h := New(Options{Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler)})
	get := func(path string, header ...string) *httptest.ResponseRecorder {
		r, w := httptest.NewRequest("GET", path, nil), httptest.NewRecorder()
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		h.ServeHTTP(w, r)
		return w
	}
	for path, kind := range map[string]string{
		"/openapi.json": "application/json", "/docs": "text/html; charset=utf-8", "/docs/": "text/html; charset=utf-8",
		"/docs/start.js": "text/javascript; charset=utf-8", "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
		"/docs/swagger-ui.css": "text/css; charset=utf-8", "/docs/favicon-32x32.png": "image/png",
	} {
		plain := get(path)
		if plain.Code != 200 || plain.Header().Get("Content-Type") != kind || plain.Body.Len() == 0 || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: %d, %v", path, plain.Code, plain.Header())
		}
		packed := get(path, "Accept-Encoding", "br, gzip")
		r, err := gzip.NewReader(packed.Body)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if b, err := io.ReadAll(r); err != nil || !bytes.Equal(b, plain.Body.Bytes()) {
			t.Errorf("%s with gzip is another: %v", path, err)
		}
		if a := get(path, "Accept-Encoding", "gzip;q=0"); a.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s comes with gzip, which was refused", path)
		}
		tag := plain.Header().Get("ETag")
		if a := get(path, "If-None-Match", `"x", `+tag); a.Code != 304 || a.Body.Len() != 0 || a.Header().Get("ETag") != tag {
			t.Errorf("%s again: %d, %v", path, a.Code, a.Header())
		}
	}
	if a := get("/docs/index.html"); a.Code != 404 {
		t.Errorf("/docs/index.html: %d", a.Code)
	}
	page := get("/docs")
	if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy of the page: %q", policy)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1) {
		if a := get(m[1]); a.Code != 200 {
			t.Errorf("the page needs %s: %d", m[1], a.Code)
		}
	}
	if strings.Contains(page.Body.String(), "<style") || regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(page.Body.String()) {
		t.Error("the page has a script or a style in itself, which its policy forbids")
	}
}
