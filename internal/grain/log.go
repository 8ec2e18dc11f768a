package grain

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
)

// log makes an event store the log of the grains of one kind, whose payloads AppendPayload makes.
type log struct {
	store  eventlog.Store
	kind   eventlog.Kind
	stored func(position uint64, events int) // see Options
}

func (l log) Activate(ctx context.Context, id string) (actor.Claim, error) {
	stream, err := eventlog.ParseStreamID(l.kind, id)
	if err != nil {
		return nil, err
	}
	act, err := l.store.Activate(ctx, stream)
	if err != nil {
		return nil, translate(err)
	}
	return claim{act, l.stored}, nil
}

func (l log) Writable() error { return translate(l.store.Writable()) }

type claim struct {
	act    eventlog.Activation
	stored func(position uint64, events int)
}

func (c claim) Release() { c.act.Release() }

func (c claim) Snapshot(version uint64, data []byte) { c.act.Snapshot(version, data) }

func (c claim) Replay(ctx context.Context, load func([]byte) error) iter.Seq2[actor.Event, error] {
	return actorEvents(c.act.Replay(ctx, load))
}

// actorEvents yields events as pkg/actor has them.
func actorEvents(events iter.Seq2[eventlog.Event, error]) iter.Seq2[actor.Event, error] {
	return func(yield func(actor.Event, error) bool) {
		for ev, err := range events {
			if err != nil {
				yield(actor.Event{}, translate(err))
				return
			}
			if !yield(actorEvent(&ev), nil) {
				return
			}
		}
	}
}

func actorEvent(ev *eventlog.Event) actor.Event {
	return actor.Event{Branch: ev.Branch, Version: ev.Version, ID: ev.ID, Key: ev.Key, Request: ev.Request, Time: ev.Time,
		Type: ev.Type, Payload: ev.Payload, Damaged: ev.Damaged}
}

func (c claim) Append(want uint64, events []actor.Event, decided func(error)) {
	commit := eventlog.Commit{Branch: events[0].Branch, Want: want, Events: make([]eventlog.Event, len(events)), Sound: true}
	for i := range events {
		ev, to := &events[i], &commit.Events[i]
		to.ID, to.Key, to.Request, to.Time, to.Type, to.Payload = ev.ID, ev.Key, ev.Request, ev.Time, ev.Type, ev.Payload
	}
	stored, n := c.stored, len(events)
	c.act.Append(commit, func(receipt eventlog.Receipt, err error) {
		decided(translate(err))
		if stored != nil && err == nil && !receipt.Duplicate {
			stored(receipt.Position, n)
		}
	})
}

// recall reads a stream from the newest snapshot that load takes.
func recall(ctx context.Context, store eventlog.Store, id eventlog.StreamID, load func([]byte) error) iter.Seq2[actor.Event, error] {
	if load == nil {
		return actorEvents(store.Read(ctx, id))
	}
	return actorEvents(store.Recall(ctx, id, func(data []byte) error {
		err := load(data)
		if errors.Is(err, actor.ErrTooNew) {
			return fmt.Errorf("%w: %w", eventlog.ErrPassedOver, err)
		}
		return err
	}))
}

// translate says a store's error in the words of pkg/actor.
func translate(err error) error {
	if err == nil {
		return nil
	}
	_, conflict := errors.AsType[*eventlog.ConflictError](err)
	switch {
	case errors.Is(err, eventlog.ErrOutcomeUnknown):
		return fmt.Errorf("%w: %w", actor.ErrOutcomeUnknown, err)
	case conflict, errors.Is(err, eventlog.ErrFenced):
		return fmt.Errorf("%w: %w", actor.ErrStale, err)
	case errors.Is(err, eventlog.ErrLowSpace), errors.Is(err, eventlog.ErrBusy), errors.Is(err, eventlog.ErrFailed), errors.Is(err, eventlog.ErrClosed):
		return fmt.Errorf("%w: %w", actor.ErrUnavailable, err)
	}
	return err
}
