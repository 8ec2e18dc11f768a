package logtest

import (
	"fmt"
	"testing"

	"cartd/internal/eventlog"

	"github.com/anishathalye/porcupine"
)

// seen is a call in the making of a history by hand: calls follow each other.
type seen struct {
	call
	answer
}

func own(act int) seen   { return seen{call: call{kind: callOwn, act: act}} }
func fence(act int) seen { return seen{call: call{kind: callFence, act: act}} }
func read(events string) seen {
	return seen{call: call{kind: callRead}, answer: answer{events: events}}
}
func (s seen) told(a answer) seen { s.answer = a; return s }

func appended(act int, want uint64, events string) seen {
	return seen{call{kind: callAppend, act: act, want: want, events: events}, answer{version: want + uint64(len(events))}}
}

// TestHistoriesThatAreWrongAreRejected is the control: a check that accepts everything would show nothing.
func TestHistoriesThatAreWrongAreRejected(t *testing.T) {
	unknown := answer{err: fmt.Errorf("append: %w", eventlog.ErrOutcomeUnknown)}
	fenced := answer{err: fmt.Errorf("append: %w", eventlog.ErrFenced)}
	conflict := func(got uint64) answer { return answer{err: &eventlog.ConflictError{Got: got}, got: got} }
	for _, test := range []struct {
		name  string
		want  porcupine.CheckResult
		calls []seen
	}{
		{"sound", porcupine.Ok, []seen{own(1), appended(1, 0, "a"), read("a"), own(2), appended(2, 1, "bc"), read("abc")}},
		{"answered and lost", porcupine.Illegal, []seen{own(1), appended(1, 0, "a"), read("")}},
		{"there twice", porcupine.Illegal, []seen{own(1), appended(1, 0, "a"), appended(1, 1, "a"), read("aa")}},
		{"other order", porcupine.Illegal, []seen{own(1), appended(1, 0, "a"), appended(1, 1, "b"), read("ba")}},
		{"half a commit", porcupine.Illegal, []seen{own(1), appended(1, 0, "ab"), read("a")}},
		{"seen, then gone", porcupine.Illegal, []seen{own(1), appended(1, 0, "a").told(unknown), read("a"), read("")}},
		{"written by one that was overtaken", porcupine.Illegal, []seen{own(1), own(2), appended(1, 0, "a"), read("a")}},
		{"version that another has", porcupine.Illegal, []seen{own(1), appended(1, 0, "a"), own(2), appended(2, 0, "b")}},
		{"refused as overtaken by nobody", porcupine.Illegal, []seen{fence(1), own(1), appended(1, 0, "a").told(fenced)}},
		{"refused as overtaken", porcupine.Ok, []seen{fence(1), own(1), fence(2), appended(1, 0, "a").told(fenced)}},
		{"conflict with what is not there", porcupine.Illegal, []seen{own(1), appended(1, 3, "a").told(conflict(2))}},
		{"conflict", porcupine.Ok, []seen{own(1), appended(1, 3, "a").told(conflict(0)), read("")}},
		{"unknown and not stored", porcupine.Ok, []seen{own(1), appended(1, 0, "a").told(unknown), read(""), read("")}},
		{"unknown and stored", porcupine.Ok, []seen{own(1), appended(1, 0, "a").told(unknown), read("a"), own(2), appended(2, 1, "b")}},
		{"unknown and stored late", porcupine.Ok, []seen{own(1), appended(1, 0, "a").told(unknown), read(""), read("a")}},
		{"unknown, and found by the repeat", porcupine.Ok, []seen{own(1), appended(1, 0, "a").told(unknown), own(2),
			appended(2, 7, "a").told(answer{version: 1, duplicate: true}), read("a")}},
		{"repeat of what is not there", porcupine.Illegal, []seen{own(1), appended(1, 0, "a").told(answer{version: 1, duplicate: true})}},
		{"repeat with another version", porcupine.Illegal, []seen{own(1), appended(1, 0, "ab"),
			appended(1, 0, "ab").told(answer{version: 1, duplicate: true})}},
	} {
		h := NewHistory(Stream(t, "c1"), false)
		for i, c := range test.calls {
			h.add(i, h.now(), h.now(), c.call, c.answer)
		}
		if got := h.result(); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}
