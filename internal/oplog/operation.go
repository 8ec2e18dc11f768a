package oplog

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Bounds of an operation's members, in bytes.
const (
	MaxSourceBytes = 32
	MaxKindBytes   = 64
	MaxCartBytes   = 64
	MaxErrorBytes  = 1024
)

// SourceScenario is the source of synthetic probes, whose last ten outcomes the statistics show.
const SourceScenario = "scenario"

// Operation is one thing that the service did. The zero value is not valid.
type Operation struct {
	// Seq is the operation's number, from 1, through restarts: it goes on behind the last one that was stored. There are
	// gaps where operations were dropped. Set by [Log.Record].
	Seq uint64
	// ID identifies the operation for ever, which Seq does not after a kill. Set by [Log.Record] if it is zero.
	ID uuid.UUID
	// Time is when the operation began. It is kept in UTC, to the microsecond.
	Time time.Time
	// Source says who wanted it: see [ValidSource].
	Source string
	// Kind says what it was, in letters, digits and - _ . characters.
	Kind string
	// Cart is the id of the cart that it was about; "" if none.
	Cart string
	// OK is false when it failed.
	OK bool
	// Took is how long it took, kept to the microsecond.
	Took time.Duration
	// Error says why it failed; "" if it did not. What is longer than MaxErrorBytes is cut.
	Error string
	// Routine marks what happens all the time and changes nothing, which is counted and not kept: see Options.Routine.
	Routine bool
}

// ValidSource reports whether source is 1 to 32 lower-case letters, digits and - _ characters.
func ValidSource(source string) bool {
	if source == "" || len(source) > MaxSourceBytes {
		return false
	}
	for i := range len(source) {
		switch c := source[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

const year10000 = 253_402_300_800 // in Unix seconds

// check returns what is wrong with an operation, and cuts what may be cut.
func (o *Operation) check() error {
	switch at := o.Time.Unix(); {
	case at < 0 || at >= year10000:
		return fmt.Errorf("operation at %v: want a time from 1970 to 9999", o.Time)
	case !ValidSource(o.Source):
		return fmt.Errorf("operation of source %.40q: want 1 to %d of a-z, 0-9, - and _", o.Source, MaxSourceBytes)
	case !plain(o.Kind, MaxKindBytes):
		return fmt.Errorf("operation of kind %.80q: want 1 to %d letters, digits, dots and - _ characters", o.Kind, MaxKindBytes)
	case o.Cart != "" && !plain(o.Cart, MaxCartBytes):
		return fmt.Errorf("operation on cart %.80q: want at most %d letters, digits, dots and - _ characters", o.Cart, MaxCartBytes)
	case o.Took < 0:
		return fmt.Errorf("operation that took %v", o.Took)
	case o.OK && o.Error != "":
		return fmt.Errorf("operation that went well with the error %.80q", o.Error)
	}
	if len(o.Error) > MaxErrorBytes {
		o.Error = o.Error[:MaxErrorBytes]
	}
	if !utf8.ValidString(o.Error) {
		o.Error = strings.ToValidUTF8(o.Error, "") // also of a character that was cut in two
	}
	return nil
}

func plain(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}
