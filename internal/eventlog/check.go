package eventlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of what a commit may hold. A store may set narrower ones for payloads.
const (
	MaxTypeBytes = 128
	MaxKeyBytes  = 255
)

// ErrInvalid means that a commit is not well formed. It is a mistake of the program, never of the disk; nothing was
// appended, and the activation goes on.
var ErrInvalid = errors.New("commit is not well formed")

// ErrBusy means that more appends to the stream wait for the disk than the store holds. Nothing was appended, and
// the activation goes on.
var ErrBusy = errors.New("too many appends to the stream are waiting")

// Check returns nil if every store can keep c as it is and read the same back; otherwise an error that wraps
// ErrInvalid. Event ids are set and differ, names and keys are bounded UTF-8, times have a four-digit year, and
// payloads are compact JSON objects, which of a sound commit is not looked at.
func (c *Commit) Check() error {
	if len(c.Events) == 0 {
		return fmt.Errorf("%w: no events", ErrInvalid)
	}
	if c.Branch != "" && !ValidName(c.Branch) {
		return fmt.Errorf("%w: branch %.80q", ErrInvalid, c.Branch)
	}
	if c.Want > c.Want+uint64(len(c.Events)) {
		return fmt.Errorf("%w: versions after %d overflow", ErrInvalid, c.Want)
	}
	for i := range c.Events {
		err := c.Events[i].check()
		if err == nil && !c.Sound {
			err = CheckPayload(c.Events[i].Payload)
		}
		if err != nil {
			return fmt.Errorf("%w: event %d: %w", ErrInvalid, i, err)
		}
	}
	if i, ok := repeated(c.Events); ok {
		return fmt.Errorf("%w: event %d: id %s is there twice", ErrInvalid, i, c.Events[i].ID)
	}
	return nil
}

func (ev *Event) check() error {
	switch {
	case ev.ID == uuid.Nil:
		return errors.New("no id")
	case ev.Type == "" || len(ev.Type) > MaxTypeBytes || !utf8.ValidString(ev.Type):
		return fmt.Errorf("type %.200q: want 1 to %d bytes of UTF-8", ev.Type, MaxTypeBytes)
	case len(ev.Key) > MaxKeyBytes || !utf8.ValidString(ev.Key):
		return fmt.Errorf("key %.300q: want at most %d bytes of UTF-8", ev.Key, MaxKeyBytes)
	}
	if y := ev.Time.UTC().Year(); y < 0 || y > 9999 {
		return fmt.Errorf("time %v: want a year of four digits", ev.Time)
	}
	return nil
}

// CheckPayload returns nil if p is one JSON object of valid UTF-8 without white space between its tokens.
func CheckPayload(p []byte) error {
	if len(p) == 0 || p[0] != '{' {
		return fmt.Errorf("payload %.40q is no JSON object", p)
	}
	if compact(p) {
		return nil
	}
	return checkSlowly(p)
}

// checkSlowly says what compact has found, and looks into what is nested too deep for it.
func checkSlowly(p []byte) error {
	if !json.Valid(p) || !utf8.Valid(p) {
		return fmt.Errorf("payload %.40q is not valid JSON", p)
	}
	inString := false
	for i := 0; i < len(p); i++ {
		switch c := p[i]; {
		case c == '"':
			inString = !inString
		case inString && c == '\\':
			i++ // the next byte belongs to the escape
		case !inString && c <= ' ':
			return fmt.Errorf("payload %.40q is not compact: white space at byte %d", p, i)
		}
	}
	return nil
}

// repeated returns the place of an event whose id an earlier one has. Commits are small as a rule: no map for them.
func repeated(evs []Event) (int, bool) {
	if len(evs) <= 16 {
		for i := range evs {
			for j := range i {
				if evs[i].ID == evs[j].ID {
					return i, true
				}
			}
		}
		return 0, false
	}
	seen := make(map[uuid.UUID]struct{}, len(evs))
	for i := range evs {
		if _, ok := seen[evs[i].ID]; ok {
			return i, true
		}
		seen[evs[i].ID] = struct{}{}
	}
	return 0, false
}

// StoredTime returns t as stores keep it: in UTC, cut to the millisecond.
func StoredTime(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// AppendTime appends StoredTime(t) as RFC 3339 in UTC with milliseconds. It is spelled out because every line and every
// answer has one, and a layout is parsed each time.
func AppendTime(dst []byte, t time.Time) []byte {
	t = StoredTime(t)
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(dst, timeLayout)
	}
	hour, minute, second := t.Clock()
	dst = appendTwo(appendTwo(dst, year/100), year%100)
	dst = appendTwo(append(dst, '-'), int(month))
	dst = appendTwo(append(dst, '-'), day)
	dst = appendTwo(append(dst, 'T'), hour)
	dst = appendTwo(append(dst, ':'), minute)
	dst = appendTwo(append(dst, ':'), second)
	milli := t.Nanosecond() / 1e6
	dst = append(dst, '.', byte('0'+milli/100))
	return append(appendTwo(dst, milli%100), 'Z')
}

// appendTwo appends n, at most 99, in two digits.
func appendTwo(dst []byte, n int) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }
