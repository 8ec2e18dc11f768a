package check

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
)

// example is where docs/kubernetes.md's overlay is, beside copies of those that it is made of.
var example = sync.OnceValues(func() (string, error) {
	for _, dir := range []string{"base", "overlays/single"} {
		if err := os.CopyFS(filepath.Join(bin, dir), os.DirFS(filepath.Join(root, dir))); err != nil {
			return "", err
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "../docs/kubernetes.md"))
	if err != nil {
		return "", err
	}
	dir := filepath.Join(bin, "overlays/shop")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	names := []string{"kustomization.yaml", "catalogue.yaml", "restore.yaml"} // in this order they are on the page
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != len(names) {
		return "", fmt.Errorf("docs/kubernetes.md has %d manifests, want %d", len(blocks), len(names))
	}
	for i, block := range blocks {
		block := block[1]
		if i == 0 { // the rules are for the Job too
			block = strings.Replace(block, "  - catalogue.yaml\n", "  - catalogue.yaml\n  - restore.yaml\n", 1)
		}
		if err := os.WriteFile(filepath.Join(dir, names[i]), []byte(block), 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
})

func mustExample(t *testing.T) string {
	t.Helper()
	dir, err := example()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestOverlayOfTheDocumentationDoesWhatItSays(t *testing.T) {
	m := mustBuild(t, mustExample(t))
	if names := len(templates(m)); names != 2 {
		t.Errorf("it has %d workloads, want the StatefulSet and the Job", names)
	}
	_, container := cartd(m)
	if got, want := container.Image, "registry.example/shop/cartd:v1"; got != want {
		t.Errorf("the image is %s, want %s", got, want)
	}
	env := environment(m, container)
	for name, want := range map[string]string{"CARTD_DATA": "/data/cartd", "CARTD_CATALOG": "http://catalogue.shop:8000/products/{sku}?country={country}", "CARTD_LISTEN": ":8080"} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q", name, env[name], want)
		}
	}
	if q, _ := variable(container, "GOMAXPROCS"); q.Value() != 8 {
		t.Errorf("GOMAXPROCS is %v, want 8", &q)
	}
	claim := first[*apps.StatefulSet](m).Spec.VolumeClaimTemplates[0].Spec
	if got := claim.Resources.Requests[core.ResourceStorage]; got.String() != "200Gi" || claim.StorageClassName == nil || *claim.StorageClassName != "fast" {
		t.Errorf("the volume has %v of class %v", &got, claim.StorageClassName)
	}
	ingress := first[*network.Ingress](m).Spec
	if ingress.Rules[0].Host != "www.shop.example" || !slices.Equal(ingress.TLS[0].Hosts, []string{ingress.Rules[0].Host}) {
		t.Errorf("the hosts are %s and %s", ingress.Rules[0].Host, ingress.TLS[0].Hosts)
	}
	plain := mustBuild(t, single)
	if first[*core.ConfigMap](m).Name == first[*core.ConfigMap](plain).Name {
		t.Error("other settings have the ConfigMap of the same name: no pod would be replaced")
	}
	for _, catalogue := range []struct {
		m    manifests
		want bool
	}{{m, true}, {plain, false}} {
		if got := admits(catalogue.m, network.PolicyTypeEgress, core.ProtocolTCP, 8000, peer{namespace: "shop"}); got != catalogue.want {
			t.Errorf("the catalogue is reached: %v, want %v", got, catalogue.want)
		}
	}
}

// Who pastes the README's lines has the image that `make image` has made, and no other: it is in no registry.
func TestOverlayAndRestoreHaveTheImageThatMakeImageMakes(t *testing.T) {
	name := regexp.MustCompile(`(?m)^IMAGE +\?= (\S+)$`).FindStringSubmatch(read(t, root+"/../Makefile"))
	if name == nil {
		t.Fatal("the Makefile does not say what the image is called")
	}
	if _, container := cartd(mustBuild(t, single)); container.Image != name[1] {
		t.Errorf("overlays/single has the image %s, want %s", container.Image, name[1])
	}
	if page := read(t, root+"/../docs/kubernetes.md"); !strings.Contains(page, "\n          image: "+name[1]+"\n") {
		t.Errorf("restore.yaml has another image than %s", name[1])
	}
}
