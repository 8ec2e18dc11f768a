package apiserver

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The files that docs/kubernetes.md shows are accepted where it puts them: an overlay of the shop's own, and what runs
// commands on the volume.
func TestExamplesOfTheGuideAreAccepted(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(repository(t), "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	c := startCluster(t, false)
	c.kubectl(t, "apply", "--filename="+namespaceFile)
	tree := t.TempDir()
	if err := os.CopyFS(filepath.Join(tree, "k8s"), os.DirFS(filepath.Join(repository(t), "k8s"))); err != nil {
		t.Fatal(err)
	}
	// Each file is named in the text before it.
	examples := regexp.MustCompile("(?s)`([a-z0-9/.-]+\\.yaml)`[^`]*\n\n```yaml\n(.*?)```\n").FindAllSubmatch(page, -1)
	if all := strings.Count(string(page), "```yaml\n"); len(examples) != all || all == 0 {
		t.Fatalf("the guide has %d files, and %d of them have a name", all, len(examples))
	}
	for _, example := range examples {
		path := filepath.Join(tree, string(example[1]))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, example[2], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, example := range examples {
		path := filepath.Join(tree, string(example[1]))
		switch dir, name := filepath.Split(path); {
		case name == "kustomization.yaml":
			c.kubectl(t, "apply", "--dry-run=server", "--kustomize="+dir)
		case dir == tree+"/": // no part of an overlay
			c.kubectl(t, "apply", "--dry-run=server", "--filename="+path)
		}
	}
}
