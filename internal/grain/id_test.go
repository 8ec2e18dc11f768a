package grain

import (
	"strings"
	"testing"
)

func TestNewIDsAreDistinctAndParse(t *testing.T) {
	seen := map[CartID]bool{}
	for range 1000 {
		id := NewCartID()
		if len(id) != 26 || strings.Trim(string(id), crockford) != "" || id[0] > '7' || seen[id] {
			t.Fatalf("got %q, want 26 new characters of Crockford base32, of 128 bits", id)
		}
		if got, err := ParseCartID(string(id)); got != id || err != nil {
			t.Fatalf("%s: got %s, %v", id, got, err)
		}
		seen[id] = true
	}
}

func TestIDsThatAreNoFileNamesAreRefused(t *testing.T) {
	for _, s := range []string{"", "../x", ".", "a/b", `a\b`, "a\x00", "-a", "_a", "å", "a b", "a.b", strings.Repeat("a", 65), strings.Repeat("a", 300)} {
		if id, err := ParseCartID(s); err == nil || id != "" {
			t.Errorf("%q: got %q, want an error", s, id)
		}
	}
	for _, s := range []string{"a", "0", "536365", "A-b_9", strings.Repeat("z", 64)} {
		if id, err := ParseCartID(s); string(id) != s || err != nil {
			t.Errorf("%q: got %q, %v", s, id, err)
		}
	}
}
