package main

import (
	"archive/tar"
	"bufio"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

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
