package filelog

import (
	"bytes"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/idmap"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

// sealedEvents are what the golden sealed part holds, the file behind it, and a snapshot of both.
func sealedEvents(id eventlog.StreamID) (part, file []eventlog.Event) {
	at := time.Date(2026, 11, 21, 2, 26, 22, 123e6, time.UTC)
	evs := []eventlog.Event{
		{Stream: id, Position: 7, Version: 1, ID: uuid.MustParse("0193a1b2-0000-7000-8000-000000000001"), Epoch: 1, Time: at,
			Type: "CartCreated", Payload: []byte(`{"currency":"GBP","country":"GB"}`)},
		{Stream: id, Position: 8, Version: 2, ID: uuid.MustParse("0193a1b2-0000-7000-8000-000000000002"), Key: `order-"7"`,
			Request: 0x00ab54a98ceb1f0a, More: true, Epoch: 1, Time: at, Type: "AddItem", Payload: []byte(`{"sku":"85123A","quantity":6,"price":255,"tax":2500}`)},
		{Stream: id, Position: 9, Version: 3, ID: uuid.MustParse("0193a1b2-0000-7000-8000-000000000003"), Epoch: 1, Time: at,
			Type: "AddItem", Payload: []byte(`{"sku":"71053","quantity":6,"name":"Lâmpada <1> & \"2\""}`)},
		{Stream: id, Position: 1201, Version: 1, Branch: "gift", ID: uuid.MustParse("0193a1b2-0000-7000-8000-000000000004"),
			Epoch: 7, Time: at.Add(time.Hour), Type: "Förk", Payload: []byte(`{}`)},
		{Stream: id, Position: 1202, Version: 4, ID: uuid.MustParse("0193a1b2-0000-7000-8000-000000000005"), Epoch: 8,
			Time: at.Add(2 * time.Hour), Type: "ClearCart", Payload: []byte(`{}`)},
	}
	return evs[:3], evs[3:]
}

func linesOf(evs []eventlog.Event) (b []byte) {
	for i := range evs {
		b = lineOf(b, &evs[i])
	}
	return b
}

// goldenSnapshot stands for the part and the first line behind it.
func goldenSnapshot(t *testing.T, id eventlog.StreamID) *snapshotFile {
	t.Helper()
	part, file := sealedEvents(id)
	var ids idmap.Map[known]
	for _, ev := range append(part[:3:3], file[0]) {
		know(&ids, &ev, ev.Position)
	}
	last := bytes.TrimSuffix(linesOf(file[:1]), []byte("\n"))
	s := &snapshotFile{ids: ids.Bytes(), data: []byte("the state\x00"), snapshotHead: snapshotHead{Version: 1, Stream: "cart/golden",
		Offset: int64(len(linesOf(part)) + len(last) + 1), Lines: 4, Last: line32Of(last), Main: 3, Branches: map[string]uint64{"gift": 1}}}
	s.IDs = int64(len(s.ids))
	return s
}

func TestGoldenSnapshotOfFormat1(t *testing.T) {
	want := goldenSnapshot(t, logtest.Stream(t, "golden"))
	written, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	stored := mustRead(t, "testdata/v1.snapshot")
	if !bytes.Equal(stored, written) {
		t.Errorf("a snapshot is written as\n%q\nthe golden one is\n%q", written, stored)
	}
	got, err := decodeSnapshot(stored)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(snapshotFile{})); diff != "" {
		t.Errorf("golden snapshot (-want +got):\n%s", diff)
	}
}

// What a compressor writes may be other bytes some day; what it wrote is read for ever.
func TestGoldenSealedPartOfFormat1(t *testing.T) {
	id := logtest.Stream(t, "golden")
	part, file := sealedEvents(id)
	text := linesOf(part)
	last := bytes.TrimSuffix(linesOf(part[2:]), []byte("\n"))
	want := label{Version: 1, Bytes: int64(len(text)), Lines: 3, Last: line32Of(last), Next: 1201}
	var b bytes.Buffer
	if err := writeSealed(&b, &want, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	stored := mustRead(t, "testdata/v1.events.000001.log.zst")
	got, content := unsealed(t, stored)
	if diff := cmp.Diff(want, got); diff != "" || !bytes.Equal(content, text) {
		t.Errorf("golden sealed part has\n%s\nwant\n%s\nlabel (-want +got):\n%s", content, text, diff)
	}
	if !bytes.HasPrefix(b.Bytes(), stored[:bytes.Index(stored, zstdMagic)]) {
		t.Errorf("a sealed part begins with\n%q\nthe golden one with\n%q", b.Bytes()[:len(stored)/2], stored[:len(stored)/2])
	}

	// All three together are a log, and the snapshot is used.
	dir := t.TempDir()
	plant(t, dir, id, linesOf(file))
	write(t, sealedPath(logPath(dir, id), 1), stored)
	write(t, snapshotPath(logPath(dir, id)), mustRead(t, "testdata/v1.snapshot"))
	mustClose(t, mustOpen(t, dir, Options{}))
	r, err := Verify(t.Context(), dir, CheckOptions{})
	if err != nil || len(r.Faults) > 0 || r.Snapshots != 1 || r.Sealed != 1 || r.Events != 5 {
		t.Errorf("verify: got %+v, %v; want 5 events, a sealed part and a snapshot without a fault", r, err)
	}
	l := mustOpen(t, dir, Options{})
	if diff := diffEvents(append(part[:3:3], file...), logtest.ReadAll(t, l, id)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	act, err := l.Activate(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	defer act.Release()
	data, tail := "", 0
	for _, err := range act.Replay(t.Context(), func(b []byte) error { data = string(b); return nil }) {
		if err != nil {
			t.Fatal(err)
		}
		tail++
	}
	if data != "the state\x00" || tail != 1 {
		t.Errorf("replay began with %q and had %d events, want the golden snapshot and one", data, tail)
	}
}
