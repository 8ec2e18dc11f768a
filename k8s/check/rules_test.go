package check

import (
	"path/filepath"
	"strings"
	"testing"
)

// A rule returns what in manifests is against it.
type rule func(manifests) []string

// spoil breaks a rule on purpose.
type spoil func(manifests)

// holds fails if a rule finds something in what is built, or nothing in overlays/single once it is spoiled.
func holds(t *testing.T, r rule, spoils map[string]spoil) {
	t.Helper()
	for _, dir := range kustomizations(t) {
		for _, complaint := range r(mustBuild(t, dir)) {
			t.Errorf("%s: %s", filepath.Clean(dir), complaint)
		}
	}
	built := mustBuild(t, single)
	for name, spoil := range spoils {
		spoiled := built.clone()
		spoil(spoiled)
		complaints := r(spoiled)
		if len(complaints) == 0 {
			t.Errorf("%s was not found", name)
		}
		t.Logf("%s: %s", name, strings.Join(complaints, "; "))
	}
}
