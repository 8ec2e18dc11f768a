package check

import (
	"bufio"
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

// decoder knows the kinds of Kubernetes and of the Prometheus operator, and no others.
var decoder = func() runtime.Decoder {
	kinds := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, monitoring.AddToScheme} {
		if err := add(kinds); err != nil {
			panic(err)
		}
	}
	return serializer.NewCodecFactory(kinds, serializer.EnableStrict).UniversalDeserializer()
}()

func newYAMLReader(text []byte) *utilyaml.YAMLReader {
	return utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
}

// decodeAll decodes a YAML stream strictly.
func decodeAll(text []byte) (m manifests, err error) {
	docs, err := documents(text)
	if err != nil {
		return nil, err
	}
	for _, doc := range docs {
		object, kind, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%v: %w in\n%s", kind, err, doc)
		}
		if strings.Contains(kind.Version, "alpha") || strings.Contains(kind.Version, "beta") { // client-go knows more than servers have
			return nil, fmt.Errorf("%v: not a stable version", kind)
		}
		m = append(m, object)
	}
	return m, nil
}

func TestEveryKustomizationIsBuiltAndDecodesStrictly(t *testing.T) {
	dirs := kustomizations(t)
	for _, want := range []string{root + "/base", single} {
		if !slices.Contains(dirs, filepath.Clean(want)) {
			t.Errorf("%s was not found", want)
		}
	}
	for _, dir := range dirs {
		t.Run(strings.TrimPrefix(dir, root+"/"), func(t *testing.T) {
			if len(mustBuild(t, dir)) == 0 {
				t.Error("it has no objects")
			}
		})
	}
}

// Also those that no kustomization names. Kustomize itself takes a field that is there twice, and keeps one of them.
func TestEveryFileWithAManifestDecodesStrictly(t *testing.T) {
	decoded := 0
	for _, path := range yamlFiles(t) {
		if filepath.Base(path) == "kustomization.yaml" {
			continue // strict by itself
		}
		var header struct{ APIVersion, Kind string }
		text := read(t, path)
		if err := yaml.Unmarshal([]byte(text), &header); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if header.APIVersion == "" && header.Kind == "" {
			continue // Prometheus' own configuration, rules and tests of rules: promtool reads them
		}
		if _, err := decodeAll([]byte(text)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		decoded++
	}
	if decoded < 7 {
		t.Errorf("%d files have manifests, want 7 at least", decoded)
	}
}

func TestMistakesAreFound(t *testing.T) {
	statefulset, policy, namespace := read(t, root+"/base/statefulset.yaml"), read(t, root+"/base/networkpolicy.yaml"), read(t, root+"/namespace.yaml")
	monitor := "apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata:\n  name: x\nspec:\n  selector: {}\n  endpoints:\n    - port: operations\n"
	for name, c := range map[string]struct{ text, old, new string }{
		"an unknown field":                {statefulset, "readOnlyRootFilesystem:", "readOnlyRootFileSystem:"},
		"an unknown field of a probe":     {statefulset, "failureThreshold: 600", "failureTreshold: 600"},
		"a field in the wrong place":      {statefulset, "          lifecycle:", "          sleep: {seconds: 5}\n          lifecycle:"},
		"a field that is there twice":     {statefulset, "podManagementPolicy: Parallel", "podManagementPolicy: Parallel\n  podManagementPolicy: OrderedReady"},
		"a number where text is wanted":   {namespace, "enforce: restricted", "enforce: 1"},
		"text where a number is wanted":   {statefulset, "runAsUser: 65532", "runAsUser: nonroot"},
		"an unknown kind":                 {namespace, "kind: Namespace", "kind: Namespaces"},
		"a version that is gone":          {policy, "networking.k8s.io/v1", "extensions/v1beta1"},
		"an unknown field of a monitor":   {monitor, "port: operations", "prot: operations"},
		"a monitor of an unknown version": {monitor, "monitoring.coreos.com/v1", "monitoring.coreos.com/v2"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := decodeAll([]byte(c.text)); err != nil {
				t.Fatalf("without the mistake: %v", err)
			}
			spoiled := strings.Replace(c.text, c.old, c.new, 1)
			if spoiled == c.text {
				t.Fatalf("%q is not in the manifest", c.old)
			}
			if m, err := decodeAll([]byte(spoiled)); err == nil {
				t.Errorf("%s was decoded: %d objects", c.new, len(m))
			}
		})
	}
}
