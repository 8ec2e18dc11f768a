package apiserver

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What README applies: the overlay, and what is for the Prometheus operator.
const (
	single   = "k8s/overlays/single"
	operator = "k8s/monitoring/operator"
)

// object is a part of a kustomization.
type object = map[string]any

// patch is a JSON patch of one operation for all objects of a kind.
func patch(kind, op, path string, value any) object {
	b, err := json.Marshal([]object{{"op": op, "path": path, "value": value}})
	if err != nil {
		panic(err) // the values are those of the tests
	}
	return object{"target": object{"kind": kind}, "patch": string(b)}
}

// overlay writes an overlay of an operator's own over a folder of the checkout, and returns its folder.
func overlay(t *testing.T, base string, more object) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir()) // kustomize counts "../" from where a folder really is
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.EvalSymlinks(repository(t))
	if err != nil {
		t.Fatal(err)
	}
	up, err := filepath.Rel(dir, filepath.Join(root, base))
	if err != nil {
		t.Fatal(err)
	}
	kustomization := object{"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": []string{up}}
	maps.Copy(kustomization, more)
	b, err := json.Marshal(kustomization)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// kustomizations are all folders under k8s/ that `kubectl apply -k` takes, from the root of the checkout.
func kustomizations(t *testing.T) (all []string) {
	t.Helper()
	root := repository(t)
	err := filepath.WalkDir(filepath.Join(root, "k8s"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Base(path) != "kustomization.yaml" {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(b), "\nkind: Component\n") { // part of others, nothing by itself
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		all = append(all, dir)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
