package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
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
	other, err := buildIndex(t.Context(), copied, "other", again)
	if err != nil {
		t.Fatal(err)
	}
	if digest(t, other) == digest(t, index) {
		t.Error("an image of another version has the same digest")
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

// unpack writes the files of an image to a directory, with their owners if that is possible.
func unpack(t *testing.T, image v1.Image) string {
	t.Helper()
	dir := filepath.Join(out, "rootfs")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	flat := mutate.Extract(image)
	defer flat.Close()
	for r := tar.NewReader(flat); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Clean("/"+header.Name))
		switch header.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(path, 0o755)
		case tar.TypeReg:
			var data []byte
			if data, err = io.ReadAll(r); err == nil {
				err = os.MkdirAll(filepath.Dir(path), 0o755)
			}
			if err == nil {
				err = os.WriteFile(path, data, 0o644)
			}
		default:
			t.Fatalf("%s is neither a file nor a directory", header.Name)
		}
		if err == nil {
			err = os.Chmod(path, header.FileInfo().Mode().Perm())
		}
		if err == nil && os.Getuid() == 0 {
			err = os.Lchown(path, header.Uid, header.Gid)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestImageIsOneStaticProgramForANumberedUser(t *testing.T) {
	index, image := made(t)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := config.Config.User, fmt.Sprintf("%d:%[1]d", nonroot); got != want {
		t.Errorf("it runs as %q, want %q", got, want)
	}
	if got, want := config.Config.Entrypoint, []string{"/ko-app/cartd"}; !slices.Equal(got, want) {
		t.Errorf("it runs %q, want %q", got, want)
	}
	if !slices.ContainsFunc(config.Config.Env, func(v string) bool { return strings.HasPrefix(v, "PATH=") && strings.HasSuffix(v, ":/ko-app") }) {
		t.Errorf("`kubectl exec cartd-0 -- cartd verify` does not find it: %q", config.Config.Env)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 2 {
		t.Errorf("it is for %d platforms, want 2", len(manifest.Manifests))
	}
	program := filepath.Join(unpack(t, image), "ko-app/cartd")
	binary, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	for _, header := range binary.Progs {
		if header.Type == elf.PT_INTERP || header.Type == elf.PT_DYNAMIC {
			t.Errorf("it is not static: it has a %v", header.Type)
		}
	}
	if version, err := exec.Command(program, "version").Output(); err != nil || string(version) != "cartd test\n" {
		t.Errorf("it says that it is %q: %v", version, err)
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

// The image's program runs as a container would have it, read-only but for the volume, as its user and with no rights.
func TestImageRunsReadOnlyAsItsUser(t *testing.T) {
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("SKIPPED: THE IMAGE WAS NOT RUN. Only root on Linux can give a process a root directory that is read-only.")
	}
	_, image := made(t)
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	dir, data := unpack(t, image), t.TempDir()
	for path := filepath.Dir(data); path != "/"; path = filepath.Dir(path) {
		os.Chmod(path, 0o755) //nolint:errcheck // others' directories are open already
	}
	start := func(mount string) (*exec.Cmd, io.Reader) {
		// A mount namespace of its own, that ends with the process.
		script := `set -e; mount --bind "$1" "$1"; ` + mount + ` mount -o remount,bind,ro "$1"; exec setpriv --no-new-privs chroot --userspec="$3" --groups= "$1" "$4" serve`
		c := exec.Command("/bin/sh", "-c", script, "sh", dir, data, config.Config.User, config.Config.Entrypoint[0])
		c.Env = append(config.Config.Env, "CARTD_LISTEN=127.0.0.1:0", "CARTD_OPS_LISTEN=127.0.0.1:0", "CARTD_DATA=/data/cartd", "CARTD_LOG_FORMAT=json")
		c.Env = append(c.Env, "PATH="+os.Getenv("PATH"))
		c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		log, err := c.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Process.Kill() }) //nolint:errcheck // it has ended
		return c, log
	}

	if err := os.Chown(data, 0, nonroot); err != nil { // as fsGroup does
		t.Fatal(err)
	}
	if err := os.Chmod(data, 0o2770); err != nil {
		t.Fatal(err)
	}
	server, log := start(`mount --bind "$2" "$1/data";`)
	var serving struct{ Msg, API, Operations string }
	lines := bufio.NewScanner(log)
	for serving.Msg != "serving" && lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &serving); err != nil {
			t.Errorf("%s: %v", lines.Text(), err)
		}
	}
	answer, err := http.Post(serving.API+"/v1/carts", "application/json", strings.NewReader(`{"country":"GB"}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Errorf("a new cart is answered %d, want 201", answer.StatusCode)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "Groups:\t \n", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(string(status), want) {
			t.Errorf("the process does not have %q:\n%s", want, status)
		}
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(log)
	if err := server.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, rest)
	}
	logs, err := filepath.Glob(filepath.Join(data, "cartd/carts/*/*.events.log"))
	if err != nil || len(logs) != 1 {
		t.Errorf("%d carts are on the volume, want 1: %v", len(logs), err)
	}

	without, log := start("") // no volume: the control
	message, _ := io.ReadAll(log)
	if err := without.Wait(); err == nil || !strings.Contains(string(message), "read-only file system") {
		t.Errorf("without a volume: %v\n%s\nwant that it ends, for nothing can be written", err, message)
	}
}
