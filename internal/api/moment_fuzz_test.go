package api

import (
	"net/http"
	"net/url"
	"testing"
)

// FuzzMoment: whatever a client writes behind the path is a moment that can be asked for, or a problem of its own making.
func FuzzMoment(f *testing.F) {
	for _, query := range []string{"", "version=1", "version=18446744073709551615", "version=-1", "version=0", "at=2026-11-21T02:26:22.123Z",
		"at=2026-11-21T02%3A26%3A22%2B01:00", "at=0001-01-01T00:00:00Z", "branch=gift&version=2", "branch=main", "branch=Main", "branch=%zz", "version=1&at=", "branch=a;b"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		r := &http.Request{URL: &url.URL{RawQuery: query}}
		m, past, err := momentOf(r)
		if err != nil {
			if p := problemOf(err); p.Status != 400 && p.Status != 404 {
				t.Errorf("%q: got %+v, want a problem of status 400 or 404", query, p)
			}
			return
		}
		if past != (m.Version > 0 || !m.At.IsZero()) || m.Version > 0 && !m.At.IsZero() || m.Branch == mainBranch {
			t.Errorf("%q: got %+v, past %t", query, m, past)
		}
		if branch, err := branchOf(r); err != nil || branch != m.Branch {
			t.Errorf("%q: branch %q, %v; as a moment %q", query, branch, err, m.Branch)
		}
	})
}

// FuzzETag: what is read as a version is written back to the byte.
func FuzzETag(f *testing.F) {
	for _, tag := range []string{`"main-4"`, `"gift-2-1"`, `"main-04"`, `W/"main-4"`, `"main-"`, `"-1"`, `""`, `"Main-1"`, `"gift--1"`, `"main-18446744073709551616"`} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		if len(tag) < 2 { // entityTags lets none of them through
			return
		}
		if v := parseETag(tag); v.version != noVersion && etag(v.branch, v.version) != tag {
			t.Errorf("%q is read as %+v", tag, v)
		}
	})
}
