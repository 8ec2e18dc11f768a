//go:build unix

package vfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRemovedLockFileLetsNobodyIn: people remove what they take for the leftover of a crash.
func TestRemovedLockFileLetsNobodyIn(t *testing.T) {
	path := t.TempDir()
	var dirs [2]*Dir
	for i := range dirs {
		d, err := OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		dirs[i] = d
	}
	lock, err := dirs[0].Lock("LOCK")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(path, "LOCK")); err != nil {
		t.Fatal(err)
	}
	if _, err := dirs[1].Lock("LOCK"); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("second one: got %v, want ErrLocked and the directory", err)
	}
	if held, err := dirs[1].Held("LOCK"); err != nil || !held {
		t.Errorf("held: got %v, %v; want true", held, err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if held, err := dirs[1].Held("LOCK"); err != nil || held {
		t.Errorf("held after the first has let go: got %v, %v; want false", held, err)
	}
	lock, err = dirs[1].Lock("LOCK")
	if err != nil {
		t.Fatalf("second one after the first has let go: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Error(err)
	}
}
