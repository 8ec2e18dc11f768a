package filelog

import (
	"context"
	"errors"
	"io"

	"cartd/internal/eventlog"
)

// replayer reads the sound part of a log from its beginning. Everything in it was acknowledged, or is followed by
// something that was: what does not check out there is damage, not a torn tail.
type replayer struct {
	id      eventlog.StreamID
	lines   *lineReader
	dec     decoder
	place   uint64            // number of the line in the file: the version of an old one
	main    uint64            // version of main
	heads   map[string]uint64 // versions of the other branches; nil when there are none
	branch  string            // of the last sound line: where damage is guessed to belong
	lost    uint64            // damaged lines that may explain a gap in the versions
	since   uint64            // damaged lines behind the last sound one: each counts as a version
	marked  uint64            // versions that markers behind the last sound line explain
	damaged func(at int64, why error)
	fenced  func() error // asked before each event; nil when nobody can be
	endless bool         // sealed parts are there, and not the file behind them, which had a line at least
}

func (r *replayer) head(branch string) uint64 {
	if branch == "" {
		return r.main
	}
	return r.heads[branch]
}

func (r *replayer) setHead(branch string, v uint64) {
	if branch == "" {
		r.main = v
		return
	}
	if r.heads == nil {
		r.heads = make(map[string]uint64)
	}
	r.heads[branch] = v
}

// run yields all events. It returns true when it has come to the end.
func (r *replayer) run(ctx context.Context, yield func(eventlog.Event, error) bool) bool {
	var ev eventlog.Event
	fail := func(err error) bool {
		yield(eventlog.Event{}, err)
		return false
	}
	for {
		if ctx.Err() != nil {
			return fail(context.Cause(ctx))
		}
		if r.fenced != nil {
			if err := r.fenced(); err != nil {
				return fail(err)
			}
		}
		line, err := r.lines.next()
		if errors.Is(err, io.EOF) && r.endless {
			r.endless = false
			r.since++
			if !r.yieldDamage(r.lines.off, errNoEnd, r.head(r.branch)+r.since, yield) {
				return false
			}
			continue
		}
		if errors.Is(err, io.EOF) {
			// What comes next must not take the number of a line that was there.
			r.setHead(r.branch, r.head(r.branch)+r.since)
			return true
		}
		if err != nil {
			return fail(err)
		}
		r.place++
		switch err := r.event(line, &ev); {
		case errors.Is(err, ErrNewerFormat):
			return fail(err)
		case err != nil:
			r.lost++
			r.since++
			if n, ok := parseMarker(line.text); ok {
				r.marked += n
				err = errMarked
			}
			if !r.yieldDamage(line.start, err, r.head(r.branch)+r.since, yield) {
				return false
			}
			continue
		}
		// A gap is fine as far as damaged lines explain it. Beyond, lines are missing: that is damage too, but no
		// reason to keep the rest back.
		head := r.head(ev.Branch)
		gap := ev.Version - head - 1
		if gap > r.lost {
			r.branch = ev.Branch
			why := errGap
			if gap <= r.lost+r.marked {
				why = errMarked
			}
			if !r.yieldDamage(line.start, why, head+gap, yield) {
				return false
			}
		}
		r.lost -= min(gap, r.lost)
		r.since, r.marked = 0, 0
		r.branch = ev.Branch
		r.setHead(ev.Branch, ev.Version)
		if !yield(ev, nil) {
			return false
		}
	}
}

var (
	errGap       = errors.New("lines before it are missing")
	errMarked    = errors.New("a repair has found that nobody has it")
	errNoEnd     = errors.New("the file behind the sealed parts is missing")
	errTooLong   = errors.New("line is longer than the largest one")
	errNotWhole  = errors.New("line has no end")
	errBackwards = errors.New("version does not go up")
)

// event decodes line and numbers it.
func (r *replayer) event(line rawLine, ev *eventlog.Event) error {
	switch {
	case line.text == nil:
		return errTooLong
	case !line.whole:
		return errNotWhole
	}
	if err := r.dec.decode(line.text, ev); err != nil {
		return err
	}
	ev.Stream = r.id
	if ev.Version == 0 {
		ev.Version = r.place
	}
	if ev.Version <= r.head(ev.Branch) {
		return errBackwards
	}
	return nil
}

func (r *replayer) yieldDamage(at int64, why error, version uint64, yield func(eventlog.Event, error) bool) bool {
	if r.damaged != nil {
		r.damaged(at, why)
	}
	return yield(eventlog.Event{Stream: r.id, Branch: r.branch, Version: version, Damaged: true}, nil)
}
