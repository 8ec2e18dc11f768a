//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The guide's curl lines are answered as it shows. Its TypeScript is run by the client's own tests.
func TestGuideCommandsAreAnsweredAsShown(t *testing.T) {
	page, err := os.ReadFile("../../docs/api-guide.md")
	if err != nil {
		t.Fatal(err)
	}
	const end = "END OF BLOCK"
	var script strings.Builder
	var shown []string
	for _, b := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```\n(?:```json\n(.*?)^```\n)?").FindAllStringSubmatch(string(page), -1) {
		// The page's own curl keeps cookies; here it must go on to bound its time and to end the line as well.
		fmt.Fprintf(&script, "%s\necho %q\n", strings.ReplaceAll(b[1], "command curl", "command curl --max-time 60 -w '\\n'"), end)
		shown = append(shown, b[2])
	}
	if len(shown) < 12 {
		t.Fatalf("the guide has %d blocks with curl, want one for each of its twelve things", len(shown))
	}
	blocks := strings.Split(serve(t, t.TempDir()).paste(t, script.String()), end)
	for i, want := range shown {
		answered, wanted := values(t, blocks[i]), values(t, want)
		if len(answered) != len(wanted) {
			t.Errorf("%d answers, want %d:\n%s\nthe guide shows\n%s", len(answered), len(wanted), blocks[i], want)
			continue
		}
		for j := range wanted {
			if at, ok := shows(wanted[j], answered[j]); !ok {
				t.Errorf("an answer differs from what the guide shows, at %s:\n%s\nthe guide shows\n%s", at, blocks[i], want)
			}
		}
	}
}

// values reads JSON values until the end.
func values(t *testing.T, text string) (all []any) {
	t.Helper()
	for dec := json.NewDecoder(strings.NewReader(text)); ; {
		var v any
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		all = append(all, v)
	}
}

// shows reports whether a value is as it is shown in part: members may be left out, and "…" is any string. Else it says
// where it is not.
func shows(part, whole any) (at string, ok bool) {
	switch part := part.(type) {
	case map[string]any:
		object, ok := whole.(map[string]any)
		if !ok {
			return "", false
		}
		for name, v := range part {
			value, ok := object[name]
			if !ok {
				return "." + name, false
			}
			if at, ok := shows(v, value); !ok {
				return "." + name + at, false
			}
		}
		return "", true
	case []any:
		list, ok := whole.([]any)
		if !ok || len(list) != len(part) {
			return "", false
		}
		for i, v := range part {
			if at, ok := shows(v, list[i]); !ok {
				return fmt.Sprintf("[%d]%s", i, at), false
			}
		}
		return "", true
	case string:
		s, ok := whole.(string)
		return "", ok && (part == "…" || part == s)
	}
	return "", part == whole
}

// What shows refuses is not what the guide shows.
func TestShownInPart(t *testing.T) {
	for _, c := range []struct {
		part, whole string
		at          []string // empty: it is shown
	}{
		{`{"a":"…","b":[1]}`, `{"a":"x","b":[1],"c":2}`, nil},
		{`{"a":"…"}`, `{"a":1}`, []string{".a"}},
		{`{"a":{"b":[1,{"c":2}]}}`, `{"a":{"b":[1,{"c":3}]}}`, []string{".a.b[1].c"}},
		{`{"a":1}`, `{}`, []string{".a"}},
		{`{"a":[]}`, `{"a":[1]}`, []string{".a"}},
		{`null`, `0`, []string{""}},
	} {
		at, ok := shows(values(t, c.part)[0], values(t, c.whole)[0])
		if got := []string{at}; ok != (c.at == nil) || (!ok && !slices.Equal(got, c.at)) {
			t.Errorf("%s of %s: %v at %q, want a difference at %q", c.part, c.whole, ok, at, c.at)
		}
	}
}
