package filelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
)

func fixSum(b []byte) {
	binary.LittleEndian.PutUint32(b[len(snapshotMagic):], crc32.Checksum(b[len(snapshotMagic)+4:], castagnoli))
}

// sealSample returns the file of a sealed part that holds content.
func sealSample(t testing.TB, content []byte, next uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	l := label{Version: sealedVersion, Bytes: int64(len(content)), Lines: uint64(bytes.Count(content, []byte("\n"))), Next: next}
	if err := writeSealed(&b, &l, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// plantSealed splits the sample of a stream into a sealed part and its file, and returns what it was.
func plantSealed(t testing.TB, dir string, id eventlog.StreamID, spoil func([]byte) []byte) []eventlog.Event {
	t.Helper()
	content, evs := sample(t, id)
	at := 0
	for range 8 { // the first four commits and one
		at += bytes.IndexByte(content[at:], '\n') + 1
	}
	plant(t, dir, id, content[at:])
	write(t, sealedPath(logPath(dir, id), 1), spoil(sealSample(t, content[:at], evs[8].Position)))
	return evs
}

func same(b []byte) []byte { return b }

func TestSealedPartsAreReadInFrontOfTheFile(t *testing.T) {
	dir := t.TempDir()
	id := logtest.Stream(t, "c1")
	want := plantSealed(t, dir, id, same)
	l := mustOpen(t, dir, Options{})
	got := logtest.ReadAll(t, l, id)
	if !slices.EqualFunc(got, want, func(a, b eventlog.Event) bool { return a.ID == b.ID && a.Version == b.Version && !a.Damaged }) {
		t.Errorf("got %v, want %v", got, want)
	}
	act := logtest.Activate(t, l, id)
	defer act.Release()
	logtest.MustAppend(t, act, 12, logtest.Event(1))
	if _, err := logtest.Append(act, 0, want[0]); err != nil {
		t.Errorf("repeat of an event in the sealed part: %v", err)
	}
}

// A part that was sealed by a process which ended before it cut the file is there twice, and shows once.
func TestSealedPartIsNotInForceBeforeTheFileIsCut(t *testing.T) {
	dir := t.TempDir()
	id := logtest.Stream(t, "c1")
	content, want := sample(t, id)
	plant(t, dir, id, content)
	at := bytes.IndexByte(content, '\n') + 1
	write(t, sealedPath(logPath(dir, id), 1), sealSample(t, content[:at], want[1].Position))
	l := mustOpen(t, dir, Options{})
	if got := logtest.ReadAll(t, l, id); len(got) != len(want) {
		t.Errorf("got %d events, want %d", len(got), len(want))
	}
}

// A part that is gone leaves its number free: sealing would put later lines in front of earlier ones.
func TestNothingIsSealedBehindAMissingPart(t *testing.T) {
	dir := t.TempDir()
	c := &counted{id: logtest.Stream(t, "c1"), each: 10}
	var acked atomic.Int64
	for parts := 0; parts < 3; {
		m := newMetrics()
		l := mustOpen(t, dir, Options{SealBytes: 4 << 10, Metrics: m})
		if err := c.grow(t, l, 60, &acked); err != nil {
			t.Fatal(err)
		}
		mustClose(t, l)
		parts += int(value(t, m.Seals))
	}
	for _, gone := range []int{2, 1} {
		path := sealedPath(logPath(dir, c.id), gone)
		remove(t, path)
		m := newMetrics()
		l := mustOpen(t, dir, Options{SealBytes: 4 << 10, Metrics: m})
		act := logtest.Activate(t, l, c.id)
		s := l.acquire(c.id)
		file := bytes.TrimSuffix(mustRead(t, logPath(dir, c.id)), []byte("\n"))
		border := int64(bytes.LastIndexByte(file[:bytes.LastIndexByte(file, '\n')], '\n') + 1) // before the last commit
		if done, err := l.seal(s, s.base+border); done || err != nil {
			t.Errorf("without part %d: sealed %t, %v; want it left alone", gone, done, err)
		}
		l.release(s)
		act.Release()
		mustClose(t, l)
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("part %d is there again: %v", gone, err)
		}
	}
}

// TestSpoiledSealedPartShowsAsDamage flips each byte: the events are the right ones, or some are damaged.
func TestSpoiledSealedPartShowsAsDamage(t *testing.T) {
	dir := t.TempDir()
	id := logtest.Stream(t, "c1")
	var sealed []byte
	want := plantSealed(t, dir, id, func(b []byte) []byte { sealed = slices.Clone(b); return b })
	path := sealedPath(logPath(dir, id), 1)
	l := mustOpen(t, dir, Options{})
	check := func(what string, at int) (damaged bool) {
		t.Helper()
		last := uint64(0)
		for _, ev := range logtest.ReadAll(t, l, id) {
			if ev.Damaged {
				damaged = true
				continue
			}
			i := slices.IndexFunc(want, func(w eventlog.Event) bool { return w.ID == ev.ID })
			if i < 0 || want[i].Version != ev.Version || !bytes.Equal(want[i].Payload, ev.Payload) {
				t.Fatalf("%s at byte %d: got %+v, which nobody has written", what, at, ev)
			}
			last = ev.Version
		}
		if last == 0 {
			t.Fatalf("%s at byte %d: nothing is left, the file was not touched", what, at)
		}
		return damaged
	}
	quiet := 0
	for i := range sealed {
		spoiled := slices.Clone(sealed)
		spoiled[i] ^= 0x04
		write(t, path, spoiled)
		if !check("flipped", i) {
			quiet++
		}
		write(t, path, sealed[:i])
		if !check("cut", i) {
			t.Fatalf("cut at byte %d: no damage shows", i)
		}
	}
	if quiet > 8 { // the checksum of all, and bits that say nothing
		t.Errorf("%d of %d flipped bytes show no damage, want a few", quiet, len(sealed))
	}
}

func FuzzSealedPart(f *testing.F) {
	f.Add(sealSample(f, []byte("one\ntwo\n"), 3))
	f.Add(sealSample(f, nil, 3))
	f.Add([]byte{0x5C, 0x2A, 0x4D, 0x18, 1, 0, 0, 0, '{'})
	f.Fuzz(func(t *testing.T, b []byte) {
		l, r, err := openSealed(byteFile(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, errSealed) && !errors.Is(err, ErrNewerFormat) {
				t.Errorf("got %v, want errSealed", err)
			}
			return
		}
		defer r.dec.Close()
		n, err := io.Copy(io.Discard, io.LimitReader(r, 1<<20))
		if err != nil || n != min(l.Bytes, 1<<20) {
			t.Errorf("got %d bytes, %v; want %d", n, err, l.Bytes)
		}
	})
}

// A file that was cut has a line at least: when it is gone, what was acknowledged is gone with it.
func TestSealedPartsWithoutTheFileBehindThemShowAsDamage(t *testing.T) {
	for name, spoil := range map[string]func(path string){
		"missing":                  func(path string) { remove(t, path) },
		"empty":                    func(path string) { write(t, path, nil) },
		"missing, and part broken": func(path string) { remove(t, path); write(t, sealedPath(path, 1), []byte("?")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			id := logtest.Stream(t, "c1")
			plantSealed(t, dir, id, same)
			spoil(logPath(dir, id))
			want := 9 // eight sealed ones and the mark
			if strings.Contains(name, "broken") {
				want = 1
			}
			check := func(what string, evs []eventlog.Event) {
				t.Helper()
				if len(evs) != want || !evs[want-1].Damaged {
					t.Errorf("%s: got %d events, want %d, the last one damaged", what, len(evs), want)
				}
			}
			l := mustOpen(t, dir, Options{})
			other := logtest.Activate(t, l, logtest.Stream(t, "c2"))
			logtest.MustAppend(t, other, 0, logtest.Events(20)...) // there is no journal that knows the positions
			other.Release()
			check("read of a cold stream", logtest.ReadAll(t, l, id))
			act, err := l.Activate(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			var evs []eventlog.Event
			for ev, err := range act.Replay(t.Context(), nil) {
				if err != nil {
					t.Fatal(err)
				}
				evs = append(evs, ev)
			}
			check("activation", evs)
			check("read of an active stream", logtest.ReadAll(t, l, id))
			logtest.MustAppend(t, act, evs[want-1].Version, logtest.Event(1)) // never with the version of one that was there
			act.Release()
			mustClose(t, l)
			l = mustOpen(t, dir, Options{})
			if got := logtest.ReadAll(t, l, id); len(got) != want+1 || !got[want-1].Damaged || got[want].Damaged {
				t.Errorf("after another append and a start: got %d events, want %d with the mark in front of the last", len(got), want+1)
			}
		})
	}
}
