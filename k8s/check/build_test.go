package check

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// root is k8s/, where all manifests are.
const root = ".."

// single is the overlay that the rules are tried on.
const single = root + "/overlays/single"

// manifests are the objects of a kustomization.
type manifests []runtime.Object

// build returns the objects of the kustomization in dir, in the order in which kubectl sends them.
func build(dir string) (manifests, error) {
	opts := krusty.MakeDefaultOptions()
	opts.Reorder = krusty.ReorderOptionLegacy // as `kubectl apply -k`
	built, err := krusty.MakeKustomizer(opts).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, err
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, err
	}
	return decodeAll(text)
}

func mustBuild(t *testing.T, dir string) manifests {
	t.Helper()
	m, err := build(dir)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	return m
}

// clone returns a copy that can be spoiled.
func (m manifests) clone() manifests {
	c := make(manifests, len(m))
	for i, o := range m {
		c[i] = o.DeepCopyObject()
	}
	return c
}

// all returns the objects of type T.
func all[T runtime.Object](m manifests) (list []T) {
	for _, o := range m {
		if t, ok := o.(T); ok {
			list = append(list, t)
		}
	}
	return list
}

// first returns the first object of type T, and panics without one: it is for manifests that are known to have it.
func first[T runtime.Object](m manifests) T { return all[T](m)[0] }

// yamlFiles returns the paths of all YAML files below root, in order.
func yamlFiles(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(path)) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// kustomizations returns the directories below root that can be built, and that of the documentation's example.
func kustomizations(t *testing.T) (dirs []string) {
	t.Helper()
	for _, path := range yamlFiles(t) {
		if filepath.Base(path) == "kustomization.yaml" && !strings.Contains(read(t, path), "\nkind: Component\n") {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	return append(dirs, mustExample(t))
}

// everything is what all kustomizations and the namespace's file have together. What is in several is there several times.
func everything(t *testing.T) (m manifests) {
	t.Helper()
	for _, dir := range kustomizations(t) {
		m = append(m, mustBuild(t, dir)...)
	}
	namespace, err := decodeAll([]byte(read(t, root+"/namespace.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	return append(m, namespace...)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// documents yields the documents of a YAML stream.
func documents(text []byte) (docs [][]byte, err error) {
	reader := newYAMLReader(text)
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		if strings.TrimSpace(string(doc)) != "" {
			docs = append(docs, doc)
		}
	}
}
