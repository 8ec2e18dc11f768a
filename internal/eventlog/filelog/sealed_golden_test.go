package filelog

import (
	"bytes"
	"encoding/binary"
	"flag"
	"hash/crc32"
	"os"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"

	"github.com/google/go-cmp/cmp"
)

// Golden files are never written again: they are what is out there. -golden writes one that is missing.
var writeGolden = flag.Bool("golden", false, "write golden files that are missing")

// golden compares what is written today with a golden file, and returns that.
func golden(t *testing.T, name string, written []byte) []byte {
	t.Helper()
	path := "testdata/" + name
	if _, err := os.Stat(path); *writeGolden && os.IsNotExist(err) {
		if err := os.WriteFile(path, written, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := mustRead(t, path)
	if !bytes.Equal(b, written) {
		t.Errorf("%s differs from what is written today (-golden +written):\n%s", path, cmp.Diff(string(b), string(written)))
	}
	return b
}

// newerHeader makes b, a segment or a checkpoint, one of the next version; its first n bytes end with their checksum.
func newerHeader(b []byte, n int) []byte {
	b[8]++
	binary.LittleEndian.PutUint32(b[n-4:], crc32.Checksum(b[:n-4], castagnoli))
	return b
}

// The marker that repair leaves: one line for two versions that nobody has.
func TestGoldenMarker(t *testing.T) {
	id := logtest.Stream(t, "golden")
	evs := goldenEvents(id)
	first, last := evs[0], evs[2]
	last.Version = 4
	written := lineOf(nil, &first)
	written = appendMarker(written, 2, `quarantine/repair-20261121T022622Z/carts/ab/"golden".events.log`)
	written = lineOf(written, &last)
	b := golden(t, "v1.marker.events.log", written)

	if versions, ok := parseMarker(bytes.TrimSuffix(lines(b)[1], []byte("\n"))); !ok || versions != 2 {
		t.Errorf("the golden marker is read as %d versions, %v; want 2", versions, ok)
	}
	dir := t.TempDir()
	plant(t, dir, id, b)
	want := []eventlog.Event{first, {Stream: id, Version: 2, Damaged: true}, {Stream: id, Version: 3, Damaged: true}, last}
	if diff := diffEvents(want, logtest.ReadAll(t, mustOpen(t, dir, Options{}), id)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if r := mustVerify(t, dir); len(r.Faults) != 0 || len(r.Notes) == 0 || r.Notes[0].Kind != KnownDamage {
		t.Errorf("verify: got faults %+v, notes %+v; want known damage alone", r.Faults, r.Notes)
	}
}

// Lines of the former service are read and never written: all that they say comes back, and the line that cartd appends
// behind them is one of its own.
func TestGoldenLinesOfTheFormerService(t *testing.T) {
	id := logtest.Stream(t, "golden")
	dir := t.TempDir()
	plant(t, dir, id, mustRead(t, "testdata/legacy.events.log"))
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	want := []eventlog.Event{
		{Stream: id, Version: 1, Time: at(1700000000), Type: "AddItem", Payload: []byte(`{"sku":"85123A","quantity":6,"price":255,"tax":2500}`)},
		{Stream: id, Version: 2, Time: at(1700000001), Type: "AddRequest", Payload: []byte(`{"sku":"71053","quantity":1}`)},
		{Stream: id, Version: 3, Time: at(1700000060), Type: "ChangeQuantity", Payload: []byte(`{"id":1,"quantity":2}`)},
	}
	if diff := diffEvents(want, logtest.ReadAll(t, mustOpen(t, dir, Options{}), id)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// A line with every field there is, and one with none that may be left out.
func TestGoldenLineOfEveryField(t *testing.T) {
	id := logtest.Stream(t, "golden")
	full := goldenEvents(id)[1]
	full.Position, full.Version, full.Branch, full.Epoch = 1<<64-1, 1, "gift-2", 1<<64-1
	least := goldenEvents(id)[0]
	b := golden(t, "v1.fields.events.log", lineOf(lineOf(nil, &full), &least))
	var (
		dec decoder
		got [2]eventlog.Event
	)
	for i, line := range lines(b) {
		if err := dec.decode(bytes.TrimSuffix(line, []byte("\n")), &got[i]); err != nil {
			t.Fatal(err)
		}
		got[i].Stream = id
	}
	if diff := diffEvents([]eventlog.Event{full, least}, got[:]); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}
