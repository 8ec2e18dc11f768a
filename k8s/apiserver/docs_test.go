package apiserver

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// guide is docs/kubernetes.md.
func guide(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository(t), "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// copyGuide copies k8s/ and writes the files that the guide shows where it puts them: each is named in the text before it.
func copyGuide(t *testing.T) (tree string, names []string) {
	t.Helper()
	tree = t.TempDir()
	if err := os.CopyFS(filepath.Join(tree, "k8s"), os.DirFS(filepath.Join(repository(t), "k8s"))); err != nil {
		t.Fatal(err)
	}
	page := guide(t)
	for _, example := range regexp.MustCompile("(?s)`([a-z0-9/.-]+\\.yaml)`[^`]*\n\n```yaml\n(.*?)```\n").FindAllStringSubmatch(page, -1) {
		path := filepath.Join(tree, example[1])
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(example[2]), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, example[1])
	}
	if all := strings.Count(page, "```yaml\n"); len(names) != all || all == 0 {
		t.Fatalf("the guide has %d files, and a name for %v", all, names)
	}
	return tree, names
}

// The files that the guide shows are accepted where it puts them: an overlay of the shop's own, and what runs commands on the
// volume.
func TestExamplesOfTheGuideAreAccepted(t *testing.T) {
	c := startCluster(t, false)
	c.kubectl(t, "apply", "--filename="+namespaceFile)
	tree, names := copyGuide(t)
	for _, name := range names {
		switch dir, file := filepath.Split(name); {
		case file == "kustomization.yaml":
			c.kubectl(t, "apply", "--dry-run=server", "--kustomize="+filepath.Join(tree, dir))
		case dir == "": // no part of an overlay
			c.kubectl(t, "apply", "--dry-run=server", "--filename="+filepath.Join(tree, name))
		}
	}
}

// The guide's way to restore a backup comes to its end: cartd's pod leaves, a pod with its volume and the backup's does the
// work, and the next pod has what was restored.
func TestRestoreAsTheGuideSaysComesToItsEnd(t *testing.T) {
	c, p := deploy(t, single)
	c.runNode(t)
	lines := regexp.MustCompile("(?s)```\n([^`]*scale statefulset/cartd --replicas=0\n[^`]*)```\n").FindStringSubmatch(guide(t))
	if lines == nil {
		t.Fatal("the guide does not say how a backup is restored")
	}
	tree, _ := copyGuide(t)
	cmd := c.command(t, "bash", "-euo", "pipefail", "-xc", lines[1])
	cmd.Dir = tree
	if _, err := sound(cmd); err != nil {
		t.Fatal(err)
	}
	type pods struct{ Items []pod }
	restored := await(t, c, func(all *pods) bool { return len(all.Items) == 1 }, "pods") // cartd's own is gone
	if got, want := restored.Items[0].claims(), []string{"data-cartd-0", "cartd-backup"}; !slices.Equal(got, want) {
		t.Errorf("the pod that restores has the claims %v, want %v", got, want)
	}
	c.kubectl(t, "apply", "--kustomize="+overlay(t, single, object{
		"namespace":          namespace,
		"configMapGenerator": []object{{"name": "cartd", "behavior": "merge", "literals": []string{"CARTD_DATA=/data/restored"}}},
	}))
	if p = c.replaced(t, &p); !slices.Equal(p.claims(), []string{"data-cartd-0"}) {
		t.Errorf("the pod after it has the claims %v", p.claims())
	}
	c.awaitPod(t, (*pod).ready)
}
