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
		if !id.LooksRandom() {
			t.Errorf("%s does not look random", id)
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

func TestIDsThatSomebodyChoseDoNotLookRandom(t *testing.T) {
	for _, id := range []CartID{
		"", "1", "536365", "00000000000000000000000001", "00000000000000000000123456", "AAAAAAAAAAAAAAAAAAAAAAAAAA", "01010101010101010101010102",
		"8ZK3D4M8W5Q0X1T2B9C6VNEJ4R", // more than 128 bits
		"7zk3d4m8w5q0x1t2b9c6vnej4r", "7ZK3D4M8W5Q0X1T2B9C6VNEJ4U", "7ZK3D4M8W5Q0X1T2B9C6VNEJ4", "7ZK3D4M8W5Q0X1T2B9C6VNEJ4RR", "7ZK3D4M8W5Q0X1T2B9C6VNEJ4\x00",
	} {
		if id.LooksRandom() {
			t.Errorf("%q looks random", id)
		}
	}
	if id := CartID("7ZK3D4M8W5Q0X1T2B9C6VNEJ4R"); !id.LooksRandom() {
		t.Errorf("%s does not look random", id)
	}
}
