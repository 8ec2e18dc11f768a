package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"debug/buildinfo"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// root is the directory of cartd's sources.
const root = "../.."

// out is where the image of these sources is.
var out string

func TestMain(m *testing.M) {
	var err error
	if out, err = os.MkdirTemp("", "cartd-image-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(out) //nolint:errcheck // it is among temporary files
	os.Exit(code)
}

var makeOnce = sync.OnceValue(func() error {
	return run(context.Background(), root, out, "test", "cartd:test", "")
})

// made returns what `make image` makes of these sources, and the image for this processor in it. It is made once.
func made(t *testing.T) (v1.ImageIndex, v1.Image) {
	t.Helper()
	if err := makeOnce(); err != nil {
		t.Fatal(err)
	}
	path, err := layout.FromPath(filepath.Join(out, layoutDir))
	if err != nil {
		t.Fatal(err)
	}
	index, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	indexes, err := partial.FindIndexes(index, func(v1.Descriptor) bool { return true })
	if err != nil || len(indexes) != 1 {
		t.Fatalf("the layout has %d indexes, want 1: %v", len(indexes), err)
	}
	images, err := partial.FindImages(indexes[0], match.Platforms(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil || len(images) != 1 {
		t.Fatalf("%d images are for this processor, want 1: %v", len(images), err)
	}
	return indexes[0], images[0]
}

func digest(t *testing.T, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	d, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBaseHasCertificatesAndNothingToRun(t *testing.T) {
	platforms := []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}
	one, err := base(platforms)
	if err != nil {
		t.Fatal(err)
	}
	two, err := base(platforms)
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, one) != digest(t, two) {
		t.Error("it is another one each time")
	}
	for _, f := range files() {
		if f.data != nil && f.mode != 0o644 || f.mode&0o022 != 0 {
			t.Errorf("%s has the mode %o", f.name, f.mode)
		}
	}
	pool, n := x509.NewCertPool(), 0
	for rest := certificates(); ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Error(err)
			continue
		}
		pool.AddCert(certificate)
	}
	if n < 100 {
		t.Errorf("%d certificates, want those of Mozilla, more than 100", n)
	}
}

// The same sources elsewhere, with nothing built before, make the same bytes.
func TestImageIsTheSameFromACopyOfTheSources(t *testing.T) {
	index, _ := made(t)
	t.Setenv("GOCACHE", t.TempDir())
	copied, again := t.TempDir(), t.TempDir()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.SplitSeq(strings.Trim(string(names), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, path))
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not yet committed
		}
		if err == nil {
			err = os.MkdirAll(filepath.Join(copied, filepath.Dir(path)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(copied, path), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	second, err := buildIndex(t.Context(), copied, "test", again)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := digest(t, second), digest(t, index); got != want {
		t.Errorf("the image of a copy is %s, want %s", got, want)
	}
	for _, sbom := range []string{"cartd-index.spdx.json", "cartd-linux-" + runtime.GOARCH + ".spdx.json"} {
		first, err := os.ReadFile(filepath.Join(out, sbomDir, sbom))
		if err != nil {
			t.Fatal(err)
		}
		if second, err := os.ReadFile(filepath.Join(again, sbom)); err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s is another one: %v", sbom, err)
		}
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1")
	later, err := buildIndex(t.Context(), copied, "test", again)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	other, err := buildIndex(t.Context(), copied, "other", again)
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, other) == digest(t, index) || digest(t, later) == digest(t, index) {
		t.Error("an image of another version or time has the same digest")
	}
}

func TestImageGoesThroughARegistry(t *testing.T) {
	index, image := made(t)
	server := httptest.NewServer(registry.New())
	defer server.Close()
	to, err := name.NewTag(strings.TrimPrefix(server.URL, "http://") + "/shop/cartd:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := send(t.Context(), index, to); err != nil {
		t.Fatal(err)
	}
	got, err := remote.Index(to)
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, got) != digest(t, index) {
		t.Error("the registry has another image")
	}
	tag, err := name.NewTag("cartd:test")
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := tarball.ImageFromPath(filepath.Join(out, tarName), &tag)
	if err != nil {
		t.Fatal(err)
	}
	one, err := loaded.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	if two, err := image.ConfigName(); err != nil || one != two {
		t.Errorf("the tarball has the image %s, want %s: %v", one, two, err)
	}
}

func TestNamesThatAreNoneAreRefusedBeforeAnythingIsBuilt(t *testing.T) {
	for flag, names := range map[string][2]string{"--tag": {"cartd:Ä", ""}, "--push": {"cartd:test", "registry.example/shop/cartd@v1"}} {
		dir := filepath.Join(t.TempDir(), "out")
		err := run(t.Context(), root, dir, "test", names[0], names[1])
		if err == nil || !strings.HasPrefix(err.Error(), flag) {
			t.Errorf("%q is answered %v, want an error of %s", names, err, flag)
		}
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("with %q something was written: %v", names, err)
		}
	}
}

func TestSBOMNamesEveryModuleOfTheProgram(t *testing.T) {
	_, image := made(t)
	info, err := buildinfo.ReadFile(filepath.Join(unpack(t, image), "ko-app/cartd"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(out, sbomDir, "cartd-linux-"+runtime.GOARCH+".spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sbom struct {
		SPDXVersion string
		Packages    []struct{ Name, VersionInfo string }
	}
	if err := json.Unmarshal(text, &sbom); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(sbom.SPDXVersion, "SPDX-2.") || len(info.Deps) < 20 {
		t.Errorf("it is of %q, and the program has %d modules", sbom.SPDXVersion, len(info.Deps))
	}
	for _, module := range info.Deps {
		if !slices.Contains(sbom.Packages, struct{ Name, VersionInfo string }{module.Path, module.Version}) {
			t.Errorf("%s %s is not in it", module.Path, module.Version)
		}
	}
}
