package filelog

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/eventlog/logtest"

	"github.com/klauspost/compress/zstd"
)

func mustCompact(t testing.TB, dir string, least int64) *Compacted {
	t.Helper()
	done, err := Compact(t.Context(), dir, CompactOptions{MinBytes: least})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// zstdcat decompresses what the command of that name would.
func zstdcat(t testing.TB, path string) []byte {
	t.Helper()
	dec, err := zstd.NewReader(bytes.NewReader(mustRead(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	b, err := io.ReadAll(dec)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return b
}

func TestCompactSealsAllButTheLastCommitAndChangesNoByte(t *testing.T) {
	dir := t.TempDir()
	all := sealedCart(t, dir)
	logs := make(map[string][]byte)
	for name := range all {
		logs[name] = logOf(t, dir, name)
	}
	junk := []string{snapshotPath(cartFile(t, "s1")) + ".tmp", sealedPath(cartFile(t, "c1"), 1) + ".tmp", cartFile(t, "c2") + ".tmp"}
	for _, path := range junk {
		write(t, filepath.Join(dir, path), []byte("half of it"))
	}
	// And one part that a crash has left.
	next := positionOf(t, lines(logs["c3"])[1])
	write(t, filepath.Join(dir, sealedPath(cartFile(t, "c3"), 1)), sealSample(t, lines(logs["c3"])[0], next))

	done := mustCompact(t, dir, 0)
	if done.Carts != len(all) || done.Sealed < 6 || done.Removed != 4 || len(done.Faults) > 0 || done.After >= done.Before {
		t.Errorf("got %+v, want %d carts, most of them sealed, 4 files removed, fewer bytes", done, len(all))
	}
	for name, want := range all {
		var got []byte
		for _, part := range partsOf(t, dir, name) {
			got = append(got, zstdcat(t, filepath.Join(dir, part))...)
		}
		rest := mustRead(t, filepath.Join(dir, cartFile(t, name)))
		if !bytes.Equal(append(got, rest...), logs[name]) {
			t.Errorf("%s: zstdcat of its parts and its file are not the log that was", name)
		}
		ls := lines(rest)
		for i, line := range ls {
			if bytes.Contains(line, []byte(`,"more":1`)) != (i < len(ls)-1) {
				t.Errorf("%s: the file is %s, want one commit", name, rest)
				break
			}
		}
		if want[len(want)-1].Position != positionOf(t, ls[len(ls)-1]) {
			t.Errorf("%s: the last line is not in the file", name)
		}
	}
	if r := wantClean(t, dir); len(r.Notes) > 0 || r.Snapshots != 2 {
		t.Errorf("got notes %+v and %d snapshots that check out, want none and 2", r.Notes, r.Snapshots)
	}
	wantExported(t, all, exportAll(t, dir))

	l := mustOpen(t, dir, Options{Durability: SyncNever})
	act, err := l.Activate(t.Context(), logtest.Stream(t, "s1"))
	if err != nil {
		t.Fatal(err)
	}
	loads, tail := 0, 0
	for ev, err := range act.Replay(t.Context(), func([]byte) error { loads++; return nil }) {
		if err != nil || ev.Damaged {
			t.Fatalf("got %+v, %v", ev, err)
		}
		tail++
	}
	if loads != 1 || tail == 0 || tail > 6 {
		t.Errorf("%d snapshots were offered, %d events followed; want one and the few behind it", loads, tail)
	}
	logtest.MustAppend(t, act, uint64(len(all["s1"])), logtest.Event(1))
	act.Release()
	mustClose(t, l)
	wantClean(t, dir)

	// Again there is one commit more to seal, of one cart.
	if done := mustCompact(t, dir, 0); done.Sealed != 1 || done.Removed != 0 {
		t.Errorf("another time: got %+v, want one cart sealed", done)
	}
	if done := mustCompact(t, dir, 0); done.Sealed != 0 || done.After != done.Before {
		t.Errorf("with nothing to do: got %+v, want nothing done", done)
	}
}

// The older snapshot may stand for a place within a part.
func TestOlderSnapshotServesWithinASealedPart(t *testing.T) {
	dir := t.TempDir()
	all := sealedCart(t, dir)
	mustCompact(t, dir, 0)
	remove(t, filepath.Join(dir, snapshotPath(cartFile(t, "s1"))))
	l := mustOpen(t, dir, Options{Durability: SyncNever})
	act, err := l.Activate(t.Context(), logtest.Stream(t, "s1"))
	if err != nil {
		t.Fatal(err)
	}
	defer act.Release()
	loads := 0
	var tail []eventlog.Event
	for ev, err := range act.Replay(t.Context(), func([]byte) error { loads++; return nil }) {
		if err != nil {
			t.Fatal(err)
		}
		ev.Payload = slices.Clone(ev.Payload)
		tail = append(tail, ev)
	}
	want := all["s1"][len(all["s1"])-len(tail):]
	if diff := diffEvents(want, tail); loads != 1 || len(tail) >= len(all["s1"]) || diff != "" {
		t.Errorf("%d snapshots were offered, and these %d events followed (-want +got):\n%s", loads, len(tail), diff)
	}
}

func TestCompactLeavesSmallFilesAlone(t *testing.T) {
	dir := t.TempDir()
	written(t, dir)
	before := snapshotOf(t, filepath.Join(dir, "carts"))
	if done := mustCompact(t, dir, 1<<20); done.Sealed != 0 || done.Before != done.After {
		t.Errorf("got %+v, want nothing sealed", done)
	}
	if diff := diffFiles(before, snapshotOf(t, filepath.Join(dir, "carts"))); diff != "" {
		t.Errorf("%s was changed", diff)
	}
	if done := mustCompact(t, dir, 2<<10); done.Sealed == 0 {
		t.Errorf("got %+v, want the carts of more than 2 KiB sealed", done)
	}
}

func TestCompactLeavesADamagedCartAsItIs(t *testing.T) {
	dir := t.TempDir()
	oldCart(t, dir)
	at := offsetOf(t, dir, "c1", 3)
	edit(t, dir, cartFile(t, "c1"), func(b []byte) []byte { b[at+70] ^= 4; return b })
	before := mustRead(t, filepath.Join(dir, cartFile(t, "c1")))
	done := mustCompact(t, dir, 0)
	if len(done.Faults) != 1 || done.Faults[0].File != cartFile(t, "c1") || done.Faults[0].Offset != at || done.Faults[0].Kind != BadChecksum {
		t.Errorf("got faults %+v, want the line of c1", done.Faults)
	}
	if !bytes.Equal(before, mustRead(t, filepath.Join(dir, cartFile(t, "c1")))) || len(partsOf(t, dir, "c1")) > 0 {
		t.Error("c1 was touched")
	}
	if len(partsOf(t, dir, "c2")) == 0 {
		t.Error("c2 was not sealed")
	}
}

func TestCompactIsRefusedWhileALogIsOpenAndWhereThereIsNone(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	if done, err := Compact(t.Context(), dir, CompactOptions{}); !errors.Is(err, vfs.ErrLocked) || done != nil {
		t.Errorf("open log: got %+v, %v; want ErrLocked", done, err)
	}
	mustClose(t, l)
	empty := t.TempDir()
	if done, err := Compact(t.Context(), empty, CompactOptions{}); !errors.Is(err, ErrNoLog) || done != nil {
		t.Errorf("empty directory: got %+v, %v; want ErrNoLog", done, err)
	}
	if names, err := os.ReadDir(empty); err != nil || len(names) > 0 {
		t.Errorf("empty directory has %v, %v afterwards", names, err)
	}
	if _, err := Compact(t.Context(), filepath.Join(empty, "none"), CompactOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: got %v, want os.ErrNotExist", err)
	}
}
