package filelog

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"

	"cartd/internal/eventlog/logtest"
)

// A reader that waits while an activation finds the end of the file sees what the activation has appended since, though
// that is not in the file yet.
func TestReaderThatWaitedForTheEndSeesWhatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, id := t.TempDir(), logtest.Stream(t, "c1")
		l := mustOpen(t, dir, Options{})
		fill(t, l, "c1", 3)
		mustClose(t, l)
		path := filepath.Join(dir, newStream(id).path)
		lines, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil { // as if nothing had been stored so far
			t.Fatal(err)
		}

		l = mustOpen(t, dir, Options{})
		s := l.acquire(id)
		defer l.release(s)
		if err := s.lockTail(t.Context()); err != nil {
			t.Fatal(err)
		}
		read := make(chan int)
		go func() {
			n := 0
			for _, err := range l.Read(t.Context(), id) {
				if err != nil {
					t.Error(err)
					break
				}
				n++
			}
			read <- n
		}()
		synctest.Wait() // it waits for the tail now
		l.addBehind(len(lines))
		s.mu.Lock()
		s.end, s.behind = int64(len(lines)), appendLines(nil, lines)
		s.mu.Unlock()
		s.unlockTail()
		if n := <-read; n != 3 {
			t.Errorf("got %d events, want 3", n)
		}
	})
}
