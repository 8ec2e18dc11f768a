// Package logtest is the suite that every event store passes.
//
//	func TestStore(t *testing.T) {
//		logtest.Run(t, func(t *testing.T) eventlog.Store { return memlog.New() })
//	}
package logtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"cartd/internal/eventlog"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
)

// Run checks the store that open returns, a new and empty one each time, against the contract of eventlog. open may
// clean up with t.Cleanup; Run closes most of the stores itself.
func Run(t *testing.T, open func(t *testing.T) eventlog.Store) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, eventlog.Store)
	}{
		{"EmptyStream", emptyStream},
		{"EventsComeBackAsAppended", eventsComeBack},
		{"AppendAtOtherVersionReportsConflict", conflict},
		{"OneOfManyWritersAtOneVersionWins", oneWriterWins},
		{"VersionsGoUpByOne", pipelined},
		{"RepeatOfDecidedCommitGetsFirstReceipt", repeatDecided},
		{"RepeatOfQueuedCommitGetsFirstReceipt", repeatQueued},
		{"RepeatIsKnownAfterReactivation", repeatAfterReactivation},
		{"TakenIDIsRefused", takenID},
		{"CommitIsAtomic", atomic},
		{"BranchesHaveOwnVersions", branches},
		{"ActivateFences", fences},
		{"ActivateWaitsForQueuedAppends", activateWaits},
		{"DecisionsComeInOrder", order},
		{"ReleaseEndsTheClaim", release},
		{"AppendBeforeReplayIsRefused", beforeReplay},
		{"MalformedCommitIsRefused", malformed},
		{"PayloadIsCopied", payloadCopied},
		{"LargePayload", largePayload},
		{"StreamsAreSeparate", separate},
		{"ReadPageSelects", readPage},
		{"ReadStopsWhenTold", readStops},
		{"CloseDecidesWhatIsQueued", closeDecides},
		{"NothingWorksAfterClose", afterClose},
		{"ConcurrentStreams", concurrent},
		{"ReplayBeginsBehindSnapshot", snapshots},
		{"SnapshotsRememberIDs", snapshotsRememberIDs},
		{"SnapshotsOfRefusedEventsAreDropped", snapshotsOfRefusedEventsAreDropped},
		{"HistoriesAreLinearizable", linearizable},
		{"FeedHasEveryEventOnceByPosition", feedIsDense},
		{"FeedBeginsAnywhere", feedBeginsAnywhere},
		{"FeedEndsAtTheHeadOfItsStart", feedEndsAtHead},
		{"FollowerMissesNothing", followerMissesNothing},
		{"SlowReaderHoldsNobodyUp", slowReader},
		{"FeedTellsOfWhatIsDecidedOnly", feedTellsDecided},
		{"WaitingForEventsEndsWithTheStore", waitEnds},
		{"StreamsAreListed", streamsAreListed},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
	t.Run("StateMachine", func(t *testing.T) { stateMachine(t, open) })
}

// Stream returns the id of the cart called name.
func Stream(t testing.TB, name string) eventlog.StreamID {
	t.Helper()
	id, err := eventlog.ParseStreamID(eventlog.KindCart, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// Event returns an event with an id of its own and n in its payload.
func Event(n int) eventlog.Event {
	return eventlog.Event{
		ID:      uuid.New(),
		Time:    time.Date(2026, 11, 21, 2, 26, 22, 123e6, time.UTC).Add(time.Duration(n) * time.Second),
		Type:    "AddItem",
		Payload: fmt.Appendf(nil, `{"sku":"85123A","quantity":%d}`, n),
	}
}

// Events returns n events.
func Events(n int) []eventlog.Event {
	evs := make([]eventlog.Event, n)
	for i := range evs {
		evs[i] = Event(i + 1)
	}
	return evs
}

// Activate claims the stream and replays it.
func Activate(t testing.TB, store eventlog.Store, id eventlog.StreamID) eventlog.Activation {
	t.Helper()
	act, err := store.Activate(t.Context(), id)
	if err != nil {
		t.Fatalf("activate %s: %v", id, err)
	}
	for _, err := range act.Replay(t.Context(), nil) {
		if err != nil {
			t.Fatalf("replay %s: %v", id, err)
		}
	}
	return act
}

// Decision is what an append was told.
type Decision struct {
	Receipt eventlog.Receipt
	Err     error
}

// Queue appends without waiting. The channel has room for the decision.
func Queue(act eventlog.Activation, c eventlog.Commit) <-chan Decision {
	ch := make(chan Decision, 1)
	act.Append(c, func(r eventlog.Receipt, err error) { ch <- Decision{r, err} })
	return ch
}

// Append appends to main and waits for the decision.
func Append(act eventlog.Activation, want uint64, evs ...eventlog.Event) (eventlog.Receipt, error) {
	d := <-Queue(act, eventlog.Commit{Want: want, Events: evs})
	return d.Receipt, d.Err
}

// MustAppend is Append that has to succeed.
func MustAppend(t testing.TB, act eventlog.Activation, want uint64, evs ...eventlog.Event) eventlog.Receipt {
	t.Helper()
	r, err := Append(act, want, evs...)
	if err != nil {
		t.Fatalf("append at version %d: %v", want, err)
	}
	return r
}

// ReadAll returns the stream's events with copies of their payloads.
func ReadAll(t testing.TB, store eventlog.Store, id eventlog.StreamID) []eventlog.Event {
	t.Helper()
	evs, err := collect(store.Read(t.Context(), id))
	if err != nil {
		t.Fatalf("read %s: %v", id, err)
	}
	return evs
}

func collect(seq func(func(eventlog.Event, error) bool)) ([]eventlog.Event, error) {
	evs := []eventlog.Event{}
	for ev, err := range seq {
		if err != nil {
			return evs, err
		}
		ev.Payload = slices.Clone(ev.Payload)
		evs = append(evs, ev)
	}
	return evs, nil
}

// stored returns evs as the store has to give them back.
func stored(id eventlog.StreamID, branch string, want, epoch uint64, evs ...eventlog.Event) []eventlog.Event {
	evs = slices.Clone(evs)
	for i := range evs {
		evs[i].Stream, evs[i].Branch, evs[i].Version = id, branch, want+1+uint64(i)
		evs[i].More, evs[i].Epoch = i < len(evs)-1, epoch
		evs[i].Time = eventlog.StoredTime(evs[i].Time)
	}
	return evs
}

// same compares what was read with what was stored; positions are the store's business.
func same(t testing.TB, what string, got, want []eventlog.Event) {
	t.Helper()
	got = slices.Clone(got)
	for i := range got {
		got[i].Position = 0
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(eventlog.StreamID{}), cmpopts.EquateEmpty(), cmp.Comparer(bytes.Equal)); diff != "" {
		t.Errorf("%s differ (-want +got):\n%s", what, diff)
	}
}

func wantErr(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

func wantConflict(t testing.TB, err error, want, got uint64) {
	t.Helper()
	c, ok := errors.AsType[*eventlog.ConflictError](err)
	if !ok || c.Want != want || c.Got != got {
		t.Errorf("got error %v, want a conflict: expected %d, got %d", err, want, got)
	}
}

func canceled(t testing.TB) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
