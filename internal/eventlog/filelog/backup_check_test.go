package filelog

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cartd/internal/eventlog/logtest"
)

// backupFaults are kinds of damage to a backup.
var backupFaults = []struct {
	name  string
	plant func(testing.TB, string)
	want  Kind
}{
	{"file is missing", func(t testing.TB, dir string) { mustRemove(t, filepath.Join(dir, cartFile(t, "c1"))) }, BackupLacks},
	{"surplus file", func(t testing.TB, dir string) {
		plant(t, dir, logtest.Stream(t, "more"), mustRead(t, filepath.Join(dir, cartFile(t, "c1"))))
	}, Surplus},
	{"surplus file beside a cart's", func(t testing.TB, dir string) {
		if err := os.WriteFile(filepath.Join(dir, cartFile(t, "c1")+".old"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}, Surplus},
	{"surplus file at the top", func(t testing.TB, dir string) {
		if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}, Surplus},
	{"file is cut", func(t testing.TB, dir string) {
		edit(t, dir, cartFile(t, "c1"), func(b []byte) []byte { return b[:len(b)-1] })
	}, BackupDiffer},
	{"file is longer", func(t testing.TB, dir string) {
		edit(t, dir, cartFile(t, "c1"), func(b []byte) []byte { return append(b, '\n') })
	}, BackupDiffer},
	{"bit of a file", func(t testing.TB, dir string) {
		edit(t, dir, cartFile(t, "c1"), func(b []byte) []byte { b[77] ^= 1; return b })
	}, BackupDiffer},
	{"file is a link", func(t testing.TB, dir string) {
		path := filepath.Join(dir, cartFile(t, "c1"))
		mustRemove(t, path)
		if err := os.Symlink("/dev/zero", path); err != nil {
			t.Fatal(err)
		}
	}, NoFile},
	{"bit of the manifest", func(t testing.TB, dir string) {
		edit(t, dir, manifestName, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
	}, BadManifest},
	{"manifest without its end", func(t testing.TB, dir string) {
		edit(t, dir, manifestName, func(b []byte) []byte { return bytes.Join(lines(b)[:2], nil) })
	}, BadManifest},
	{"manifest without a line", func(t testing.TB, dir string) {
		edit(t, dir, manifestName, func(b []byte) []byte { return bytes.Join(slices.Delete(lines(b), 1, 2), nil) })
	}, BadManifest},
}

func mustRemove(t testing.TB, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyFindsWhatIsWrongWithABackupAndRestoreRefusesIt(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	stream := streamOf(t, dir)
	for _, test := range backupFaults {
		t.Run(test.name, func(t *testing.T) {
			backup, _ := mustReceive(t, stream)
			wantClean(t, backup)
			test.plant(t, backup)
			if r := mustVerify(t, backup); !slices.ContainsFunc(r.Faults, func(f Finding) bool { return f.Kind == test.want }) {
				t.Errorf("got faults %+v, want one of kind %s", r.Faults, test.want)
			}
			to := filepath.Join(t.TempDir(), "to")
			if _, r, err := Restore(t.Context(), backup, to, CheckOptions{}); !errors.Is(err, ErrBadBackup) || len(r.Faults) == 0 {
				t.Errorf("restore: got %v, want ErrBadBackup", err)
			}
			if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
				t.Error("restore made the directory")
			}
		})
	}
}

// Every byte of a manifest counts.
func TestNoByteOfAManifestCanBeFlipped(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	backup, _ := mustReceive(t, streamOf(t, dir))
	whole := mustRead(t, filepath.Join(backup, manifestName))
	read := func(b []byte) error {
		m := newManifest()
		err := eachLine(bytes.NewReader(b), func(line []byte) error { _, err := m.read(line); return err })
		if err == nil && !m.done {
			err = ErrBadBackup
		}
		return err
	}
	if err := read(whole); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		for _, bit := range []byte{1, 0x20, 0x80} {
			b := slices.Clone(whole)
			b[n] ^= bit
			if err := read(b); !errors.Is(err, ErrBadBackup) {
				t.Errorf("byte %d with bit %#x flipped: got %v, want ErrBadBackup", n, bit, err)
			}
		}
		if err := read(whole[:n]); !errors.Is(err, ErrBadBackup) {
			t.Errorf("cut at byte %d: got %v, want ErrBadBackup", n, err)
		}
	}
}

func FuzzManifest(f *testing.F) {
	dir := f.TempDir()
	written(f, dir)
	backup, _ := mustReceive(f, streamOf(f, dir))
	f.Add(mustRead(f, filepath.Join(backup, manifestName)))
	f.Add([]byte(`{"cartdBackup":1,"time":"2026-11-21T02:26:22.123Z"}` + "\n" + `{"path":"../x.events.log","size":1,"sha256":""}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newManifest()
		var out bytes.Buffer
		again := newManifest()
		err := eachLine(bytes.NewReader(b), func(line []byte) error {
			file, err := m.read(line)
			if err != nil {
				return err
			}
			if file != nil {
				if dir, stem, ok := splitPath(file.Path); !ok || strings.Contains(file.Path, "..") || dir == "" || stem == "" {
					t.Errorf("path %q was accepted", file.Path)
				}
				return again.writeFile(&out, *file)
			}
			if m.done {
				return again.writeFoot(&out, m.foot.Position)
			}
			return again.write(&out, m.head)
		})
		if err != nil && !errors.Is(err, ErrBadBackup) {
			t.Errorf("got %v, want ErrBadBackup", err)
		}
		if err == nil && m.done && !bytes.Equal(out.Bytes(), b) {
			t.Errorf("read and written again it is\n%s, want\n%s", out.Bytes(), b)
		}
	})
}

func FuzzReceiveBackup(f *testing.F) {
	dir := f.TempDir()
	written(f, dir)
	stream := streamOf(f, dir)
	f.Add(stream)
	f.Add(stream[:len(stream)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		to := filepath.Join(t.TempDir(), "backup")
		if _, err := ReceiveBackup(t.Context(), bytes.NewReader(b), to, nil); err != nil {
			return
		}
		if r := mustVerify(t, to); slices.ContainsFunc(r.Faults, func(f Finding) bool { return f.Kind == BackupLacks || f.Kind == BackupDiffer || f.Kind == Surplus }) {
			t.Errorf("accepted, and verify finds %+v", r.Faults)
		}
	})
}
