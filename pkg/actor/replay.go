package actor

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Replay makes a state of a log's events as an activation does, to compare it with a snapshot. Make it with
// [NewReplay]. For one goroutine at a time.
type Replay[S any] struct {
	past  past[S]
	alien string // type of an event that this program does not know; "" if it knows all
}

// NewReplay returns the state of the grain id before its first event. Of cfg it uses Kind, Registry, Replay, Requests
// and Snapshots, which must be there.
func NewReplay[S any](cfg Config[S], id string) *Replay[S] {
	r := &Replay[S]{}
	if cfg.Replay == nil {
		cfg.Replay = cfg.Registry
	}
	cfg.Observer = aliens{alien: &r.alien, requests: cfg.Requests}
	r.past = past[S]{cfg: &cfg, id: id, state: new(S), info: Info{ID: id}}
	return r
}

// aliens notes what a replay skips because it does not know it.
type aliens struct {
	nobody
	alien    *string
	requests []string
}

func (a aliens) EventSkipped(_, _ string, ev Event, err error) {
	if errors.Is(err, ErrUnknownMutation) && !slices.Contains(a.requests, ev.Type) {
		*a.alien = ev.Type
	}
}

// Apply applies the next event of the log. It keeps nothing of it but what handlers keep of a mutation.
func (r *Replay[S]) Apply(ev Event) {
	if err := r.past.reapply(r.past.state, ev); err != nil { // of a newer schema
		r.alien = ev.Type
	}
}

// Compare says what a snapshot tells otherwise than the events so far, as far as an activation uses it; "" if nothing.
// The error means that they cannot be compared: another program has written the snapshot, or one of the events.
func (r *Replay[S]) Compare(snapshot []byte) (difference string, err error) {
	if r.alien != "" {
		return "", fmt.Errorf("event %q: %w", r.alien, ErrUnknownMutation)
	}
	want, got := &r.past, past[S]{cfg: r.past.cfg, id: r.past.id}
	if got.state, err = got.load(snapshot); errors.Is(err, errOtherSnapshot) {
		return "", err
	} else if err != nil {
		return err.Error(), nil
	}
	// Both states are encoded by this program: what an older one wrote may be other bytes for the same state.
	branch, other := otherHead(got.heads, want.heads)
	encode := func(p *past[S]) []byte { return p.cfg.Snapshots.Encode(nil, p.state) }
	switch {
	case got.info.Version != want.info.Version || got.events != want.events:
		return fmt.Sprintf("version %d after %d events, a replay gives %d after %d", got.info.Version, got.events, want.info.Version, want.events), nil
	case got.info.Damaged != want.info.Damaged:
		return fmt.Sprintf("damaged is %t, a replay gives %t", got.info.Damaged, want.info.Damaged), nil
	case !got.info.Created.Equal(want.info.Created) || !got.info.Updated.Equal(want.info.Updated):
		return fmt.Sprintf("first and last event at %v and %v, a replay gives %v and %v", got.info.Created, got.info.Updated, want.info.Created, want.info.Updated), nil
	case other:
		return fmt.Sprintf("branch %s at version %d, a replay gives %d", branch, got.head(branch).Version, want.head(branch).Version), nil
	case !bytes.Equal(got.keys.ids.Bytes(), want.keys.ids.Bytes()):
		return fmt.Sprintf("%d keys, a replay gives %d that are not all the same", got.keys.ids.Len(), want.keys.ids.Len()), nil
	case !bytes.Equal(encode(&got), encode(want)):
		return "its state is not the one that a replay gives", nil
	}
	return "", nil
}
