package main

import (
	"strings"
	"testing"
)

// The list must not rot: each line is where it is said to be, once, and so are the tests.
func TestEveryLineIsStillThere(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) < 12 {
		t.Errorf("%d lines, want at least 12", len(lines))
	}
	promises := make(map[string]bool)
	for _, l := range lines {
		if promises[l.promise] {
			t.Errorf("%q is there twice", l.promise)
		}
		promises[l.promise] = true
		if _, err := l.takeOut(root); err != nil {
			t.Error(err)
		}
		if l.old == l.new {
			t.Errorf("%s: what takes the line's place is the line", l.promise)
		}
		there, err := tests(root, l.pkg)
		if err != nil {
			t.Fatal(err)
		}
		for name := range strings.SplitSeq(l.run, "|") {
			if !there[name] {
				t.Errorf("%s: %s has no %s", l.promise, l.pkg, name)
			}
		}
	}
}
