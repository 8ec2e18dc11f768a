package memlog

import (
	"errors"
	"testing"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
)

func TestReaderOfWhatIsNotKeptIsToldTheEarliest(t *testing.T) {
	l := New()
	act := logtest.Activate(t, l, logtest.Stream(t, "c1"))
	logtest.MustAppend(t, act, 0, logtest.Events(9)...)
	pin := l.Pin(4)
	l.Compact(7)
	for after, want := range map[uint64]uint64{3: 5, 4: 0} {
		for ev, err := range l.ReadAll(t.Context(), after) {
			c, compacted := errors.AsType[*eventlog.CompactedError](err)
			if compacted != (want > 0) || compacted && (c.Earliest != want || c.After != after) || !compacted && ev.Position <= after {
				t.Errorf("behind %d: got position %d, %v", after, ev.Position, err)
			}
		}
	}
	pin.Move(6)
	l.Compact(7)
	if err := first(t, l, 4); !errors.As(err, new(*eventlog.CompactedError)) {
		t.Errorf("behind 4, with a pin at 6: got %v, want a *CompactedError", err)
	}
	pin.Release()
	l.Compact(7)
	if err := first(t, l, 6); !errors.As(err, new(*eventlog.CompactedError)) {
		t.Errorf("behind 6, without a pin: got %v, want a *CompactedError", err)
	}
}

func first(t *testing.T, l *Log, after uint64) error {
	for _, err := range l.ReadAll(t.Context(), after) {
		return err
	}
	return nil
}
