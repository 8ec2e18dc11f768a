package api

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/mux"
)

// FuzzPatternMatchesAsMuxDoes compares with the regular expressions that mux makes of the same template.
func FuzzPatternMatchesAsMuxDoes(f *testing.F) {
	for _, seed := range [][2]string{
		{"/v1/carts/{id}/items/{item}", "/v1/carts/c1/items/7"}, {"/v1/carts/{id}", "/v1/carts/"}, {"/v1/carts/{id}", "/v1/carts"},
		{"/v1/carts/{id}", "/v1/carts/a%2Fb"}, {"/v1/carts/{id}", "/v1/carts/a/b"}, {"/v1/carts/{id}/items", "/v1/carts//items"},
		{"/v1/carts", "/v1/carts?x"}, {"/v1/carts", "v1/carts"}, {"/v1/carts", ""}, {"/v1/carts/{id}", "/v1/carts/\n"},
		{"/v1/carts/{id}", "/v1/carts/.."}, {"/v1/carts/{id}/x", "/v1/carts/{id}/x"}, {"/v1/carts/{id}", "/v1/carts/x/"}, {"/", "/"}, {"/", "//"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, template, path string) {
		if !strings.HasPrefix(template, "/") || strings.Contains(template, "//") || strings.Count(template, "{") > maxVars {
			t.Skip("no template of ours")
		}
		for s := range strings.SplitSeq(template, "/") {
			if name := strings.TrimSuffix(strings.TrimPrefix(s, "{"), "}"); strings.ContainsAny(name, "{}:") || strings.Trim(s, "{}") == "" && s != "" || (s != name) != (s == "{"+name+"}") {
				t.Skip("no template of ours")
			}
		}
		r := mux.NewRouter().SkipClean(true).UseEncodedPath()
		route := r.NewRoute().Path(template)
		if route.GetError() != nil {
			t.Skip("no template of mux's") // a name twice
		}
		req := &http.Request{Method: "GET", URL: &url.URL{Path: path}}
		if u, err := url.PathUnescape(path); err == nil {
			req.URL = &url.URL{Path: u, RawPath: path}
		}
		var want mux.RouteMatch
		matches := r.Match(req, &want)
		var vars pathVars
		if got := parsePattern(template).match(req.URL.EscapedPath(), &vars); got != matches {
			t.Fatalf("%q of %q: %v, want %v", req.URL.EscapedPath(), template, got, matches)
		}
		if !matches {
			return
		}
		for name, value := range want.Vars {
			if got := vars.get(name); got != value {
				t.Errorf("%q of %q: %s is %q, want %q", req.URL.EscapedPath(), template, name, got, value)
			}
		}
		if vars.n != len(want.Vars) {
			t.Errorf("%q of %q: %d variables, want %d", req.URL.EscapedPath(), template, vars.n, len(want.Vars))
		}
	})
}

func TestPatternForgetsTheVariablesOfThePathBefore(t *testing.T) {
	var vars pathVars
	parsePattern("/{a}/{b}").match("/1/2", &vars)
	if !parsePattern("/x/{b}").match("/x/3", &vars) || vars.get("a") != "" || vars.get("b") != "3" {
		t.Errorf("variables %v, want b only", vars)
	}
}

func TestRequestIDsDifferAndArePlain(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newRequestID()
		if len(id) != 26 || !plainToken(id, 26) || seen[id] {
			t.Fatalf("id %q, want 26 plain characters that have not been there", id)
		}
		seen[id] = true
	}
}
