package filelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
)

// openSound opens the stream's log and finds the end of its file's sound part. Open has completed all files, and lines
// are in the journal before they are in a file: an end that is torn later is damage, and so is a file with nothing in it.
// What the journal still has of it is written again, over a copy; the rest is left to the caller. s.tail is held, and
// nobody writes.
func (l *Log) openSound(ctx context.Context, s *stream) (h *history, t tail, err error) {
	for again := true; ; again = false {
		if h, err = l.openHistory(s); err != nil || h.live == nil {
			return h, tail{}, err
		}
		refilled := false
		t, err = l.soundPart(s, h.live, h.size)
		// A log that has failed is only read any more.
		if err == nil && (t.end < h.size || h.size == 0) && again && l.Cause() == nil {
			refilled, err = l.refillTail(ctx, s, h, t)
		}
		if err == nil && !refilled {
			return h, t, nil
		}
		if err = errors.Join(err, h.Close()); err != nil {
			return nil, tail{}, err
		}
	}
}

// refillTail writes the lines to the stream's file that the journal has behind its sound part t, or those that are there
// and lack a sound newline alone. A failure after the
// file was changed ends the life of the log.
func (l *Log) refillTail(ctx context.Context, s *stream, h *history, t tail) (refilled bool, err error) {
	lines, err := l.lacking(ctx, s, h, t)
	if err == nil && lines == nil {
		lines, err = l.unended(s, h, t)
	}
	if err != nil || lines == nil {
		return false, err
	}
	_, changed, err := l.refill(lines)
	if err != nil && changed {
		l.fail(err)
	}
	if err != nil {
		return false, fmt.Errorf("refill torn tail at byte %d: %w", t.end, err)
	}
	return true, nil
}

// lacking returns the lines that the journal has of the stream behind the sound part of its file; nil if there are none.
// It reads all of the journal from there on.
func (l *Log) lacking(ctx context.Context, s *stream, h *history, t tail) (*tailLines, error) {
	last, heads, err := l.soundLines(h, t.end)
	if err != nil {
		return nil, err
	}
	if n := len(h.sealed); last == 0 && n > 0 {
		if h.sealed[n-1].bad != nil {
			return nil, nil // nobody knows what follows it
		}
		last = h.sealed[n-1].Next - 1
	}
	pin := l.pins.Add(last)
	defer pin.Release()
	var (
		dec  decoder
		ev   eventlog.Event
		find = &tailLines{s: newStream(s.id)}
	)
	for f, err := range l.journal.Frames(max(last, l.journal.Earliest()-1), l.Head()) {
		if err = errors.Join(err, context.Cause(ctx)); err != nil {
			if damage, ok := errors.AsType[*journal.CorruptError](err); ok && !errors.Is(err, journal.ErrNewerFormat) {
				l.opts.Logger.Error("event log looks for a torn tail in the journal, which is damaged", "stream", s.id.String(), "error", damage)
				break
			}
			return nil, err
		}
		err = f.Records(func(r journal.Record) bool {
			if r.Kind != string(s.id.Kind()) || r.Name != s.id.Name() {
				return true
			}
			for line := range bytes.Lines(r.Lines) {
				if dec.decode(bytes.TrimSuffix(line, []byte("\n")), &ev) != nil || ev.Position <= last || ev.Version <= heads[ev.Branch] {
					continue
				}
				if find.size == 0 {
					find.first = ev.Position
				}
				find.parts = append(find.parts, slices.Clone(line))
				find.size += int64(len(line))
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	if find.size == 0 {
		return nil, nil
	}
	return find, nil
}

// unended returns the lines behind the sound part if nothing is wrong with them but the last byte, which ought to be a
// newline; nil otherwise. An append that was cut short leaves no byte there.
func (l *Log) unended(s *stream, h *history, t tail) (*tailLines, error) {
	var (
		dec  decoder
		ev   eventlog.Event
		find = &tailLines{s: newStream(s.id)}
	)
	for r := newLineReaderAt(io.NewSectionReader(h.live, t.end, h.size-t.end), t.end, h.size, l.opts.MaxLineBytes); ; {
		line, err := r.next()
		if err != nil {
			if errors.Is(err, io.EOF) { // all lines have a newline: the commit's last one is missing
				err = nil
			}
			return nil, err
		}
		text := line.text
		if !line.whole && len(text) > 0 {
			text = text[:len(text)-1]
		}
		if dec.decode(text, &ev) != nil || ev.Position == 0 || ev.More != line.whole {
			return nil, nil
		}
		if find.size == 0 {
			find.first = ev.Position
		}
		find.parts = append(find.parts, append(bytes.Clone(text), '\n'))
		find.size += int64(len(text)) + 1
		if !line.whole {
			return find, nil
		}
	}
}

// soundLines returns the highest position in the first end bytes of the stream's file, and the versions of its branches
// there.
func (l *Log) soundLines(h *history, end int64) (last uint64, heads map[string]uint64, err error) {
	var (
		dec decoder
		ev  eventlog.Event
	)
	heads = make(map[string]uint64)
	for r := newLineReader(h.live, end, l.opts.MaxLineBytes); ; {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			return last, heads, nil
		}
		if err != nil {
			return 0, nil, err
		}
		if line.text != nil && dec.decode(line.text, &ev) == nil {
			last = max(last, ev.Position)
			heads[ev.Branch] = max(heads[ev.Branch], ev.Version)
		}
	}
}
