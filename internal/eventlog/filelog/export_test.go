package filelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
)

// exportAll returns what Export gives, by stream.
func exportAll(t testing.TB, dir string) map[string][]eventlog.Event {
	t.Helper()
	got := make(map[string][]eventlog.Event)
	err := Export(t.Context(), dir, CheckOptions{}, func(ev eventlog.Event) error {
		ev.Payload = slices.Clone(ev.Payload)
		got[ev.Stream.Name()] = append(got[ev.Stream.Name()], ev)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantExported(t testing.TB, want, got map[string][]eventlog.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d streams, want %d", len(got), len(want))
	}
	for name := range want {
		if diff := diffEvents(want[name], got[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestExportGivesWhatTheStoreReads(t *testing.T) {
	dir := t.TempDir()
	want := written(t, dir)
	wantExported(t, want, exportAll(t, dir))

	var got []eventlog.Event
	if err := ExportStream(t.Context(), dir, logtest.Stream(t, "c1"), CheckOptions{}, func(ev eventlog.Event) error {
		ev.Payload = slices.Clone(ev.Payload)
		got = append(got, ev)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := diffEvents(want["c1"], got); diff != "" {
		t.Errorf("one stream (-want +got):\n%s", diff)
	}
	err := ExportStream(t.Context(), dir, logtest.Stream(t, "none"), CheckOptions{}, func(eventlog.Event) error { return nil })
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stream that is not there: got %v, want fs.ErrNotExist", err)
	}
}

// Whatever the files lack when a process is killed, the journal has.
func TestExportOfACrashedDirectoryHasWhatTheJournalHas(t *testing.T) {
	origin := t.TempDir()
	want := abandoned(t, origin)
	content := mustRead(t, filepath.Join(origin, cartFile(t, "c2")))
	for n := 0; n <= len(content); n += 37 {
		edit(t, origin, cartFile(t, "c2"), func([]byte) []byte { return content[:n] })
		wantExported(t, want, exportAll(t, origin))
	}
	if err := os.RemoveAll(filepath.Join(origin, "carts")); err != nil {
		t.Fatal(err)
	}
	wantExported(t, want, exportAll(t, origin))
}

func TestExportOfADamagedJournalIsRefused(t *testing.T) {
	dir := t.TempDir()
	abandoned(t, dir)
	edit(t, dir, segments(t, dir)[0], func(b []byte) []byte { b[100] ^= 1; return b })
	err := Export(t.Context(), dir, CheckOptions{}, func(eventlog.Event) error {
		t.Error("an event was exported")
		return nil
	})
	if !errors.Is(err, eventlog.ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
}

func TestExportWhileManyWriteHasAllThatWasAnsweredBefore(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{Durability: SyncNever, SegmentBytes: 16 << 10})
	ctx, stop := context.WithCancel(t.Context())
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex // guards answered
		answered = make(map[string]uint64)
	)
	for w := range 8 {
		id := logtest.Stream(t, fmt.Sprintf("w%d", w))
		act := logtest.Activate(t, l, id)
		wg.Go(func() {
			defer act.Release()
			for want := uint64(0); ctx.Err() == nil && want < 20_000; {
				r, err := logtest.Append(act, want, logtest.Events(1+int(want)%4)...)
				if err != nil {
					t.Error(err)
					return
				}
				want = r.Version
				mu.Lock()
				answered[id.Name()] = want
				mu.Unlock()
			}
		})
	}
	for range 5 {
		mu.Lock()
		before := make(map[string]uint64, len(answered))
		maps.Copy(before, answered)
		mu.Unlock()
		got := exportAll(t, dir)
		for name, v := range before {
			if n := uint64(len(got[name])); n < v {
				t.Errorf("%s: got %d events, %d were answered before", name, n, v)
			}
			for i, ev := range got[name] {
				if ev.Damaged || ev.Version != uint64(i)+1 {
					t.Errorf("%s: event %d is %+v", name, i, ev)
					break
				}
			}
		}
	}
	stop()
	wg.Wait()
}
