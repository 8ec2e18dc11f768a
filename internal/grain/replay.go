package grain

import (
	"cartd/internal/eventlog"
	"cartd/pkg/actor"
)

// Replay makes a cart or a voucher of the events of its stream, to compare it with a snapshot. Make it with [NewReplay] or
// [NewVoucherReplay]. For one goroutine at a time.
type Replay struct {
	replay interface { // an actor.Replay
		Apply(ev actor.Event)
		Compare(snapshot []byte) (difference string, err error)
	}
}

// NewReplay returns the cart id before its first event. No limits count: what is in the log was accepted.
func NewReplay(id string) Replay {
	return Replay{actor.NewReplay(Config(nil, Limits{}, Options{}), id)}
}

// NewVoucherReplay returns the voucher whose stream is id before its first event.
func NewVoucherReplay(id string) Replay {
	return Replay{actor.NewReplay(VoucherConfig(nil, Options{}), id)}
}

// Apply applies the next event of the stream, as an activation does.
func (r Replay) Apply(ev eventlog.Event) {
	r.replay.Apply(actorEvent(&ev))
}

// Compare says what the data of a snapshot tells otherwise than the events so far; "" if nothing. The error means that
// they cannot be compared: another program has written one of them.
func (r Replay) Compare(data []byte) (difference string, err error) { return r.replay.Compare(data) }
