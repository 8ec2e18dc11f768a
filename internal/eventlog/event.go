package eventlog

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Kind says what a stream is about. Each kind has its own grain and its own directory.
type Kind string

// The kinds of streams.
const (
	KindCart    Kind = "cart"    // a shopping cart
	KindVoucher Kind = "voucher" // the uses of a voucher that is limited among all carts
)

// MaxNameBytes bounds a stream's name.
const MaxNameBytes = 64

// StreamID names a stream. It is made by [ParseStreamID] alone, so that a value other than the zero one is safe
// as a file name on every system. The zero value names no stream. Comparable.
type StreamID struct {
	kind Kind
	name string
}

// ParseStreamID checks name against [A-Za-z0-9][A-Za-z0-9_-]{0,63} and returns the id.
func ParseStreamID(kind Kind, name string) (StreamID, error) {
	if !ValidName(name) {
		return StreamID{}, fmt.Errorf("stream name %.80q: want 1 to %d of letters, digits, _ and -, the first a letter or digit", name, MaxNameBytes)
	}
	return StreamID{kind: kind, name: name}, nil
}

// ValidName reports whether name can name a stream.
func ValidName(name string) bool {
	if name == "" || len(name) > MaxNameBytes {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case (c == '_' || c == '-') && i > 0:
		default:
			return false
		}
	}
	return true
}

// Kind returns the stream's kind.
func (id StreamID) Kind() Kind { return id.kind }

// Name returns the stream's name within its kind.
func (id StreamID) Name() string { return id.name }

// String returns kind and name for logs and errors.
func (id StreamID) String() string { return string(id.kind) + "/" + id.name }

// Event is one accepted mutation as it is stored.
//
// Who appends sets ID, Key, Request, Time, Type and Payload; the store sets the rest.
type Event struct {
	// Position is the event's number among those of all streams, from 1; 0 in lines of the service before cartd.
	Position uint64
	// Stream is where the event belongs.
	Stream StreamID
	// Branch is the line of versions within the stream; "" is main.
	Branch string
	// Version is the event's number within its branch, from 1.
	Version uint64
	// ID identifies the event within its stream for ever. Zero only in lines of the service before cartd.
	ID uuid.UUID
	// Key is the Idempotency-Key of the request, on the first event of its commit; "" if there was none.
	Key string
	// Request is a hash of the request that came with Key; 0 without one.
	Request uint64
	// More is true for every event of a commit but the last.
	More bool
	// Epoch is the number of the activation that wrote the event.
	Epoch uint64
	// Time is when the event was accepted, in UTC, to the millisecond.
	Time time.Time
	// Type names the mutation.
	Type string
	// Payload is the mutation as a JSON object. Read-only; valid until the loop's next step when it comes from an
	// iterator.
	Payload []byte
	// Damaged is true for a place in the stream whose record did not check out. Only Stream, Branch and Version
	// are set then, and Version may be a guess.
	Damaged bool
}

// Commit is a number of events that are appended together or not at all.
type Commit struct {
	// Branch is the line of versions that is appended to; "" is main.
	Branch string
	// Want is the version the branch must be at, counting what is queued: Events[i] becomes version Want+1+i.
	Want uint64
	// Events has at least one event. Payloads are copied before Append returns.
	Events []Event
	// Sound says that the payloads are compact JSON objects of valid UTF-8 by the way they were made: Check does not read them.
	Sound bool
}

// Receipt tells where a decided commit is.
type Receipt struct {
	// Version and Position are those of the commit's last event.
	Version, Position uint64
	// Duplicate is true when the same events were there already and nothing was appended.
	Duplicate bool
}
