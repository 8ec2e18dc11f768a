package readmodel

import (
	"slices"
	"sync"

	"cartd/internal/grain"
)

const (
	// maxNotes bounds the carts that were told of and are not in the rows yet.
	maxNotes = 1 << 16
	// maxSpans bounds what is known of positions that were told out of order.
	maxSpans = 64
)

// notes are what the model was told since the rows were written: the newest of each cart, and of which events.
type notes struct {
	mu     sync.Mutex // guards the following
	of     map[string]note
	lost   bool   // there were too many
	head   uint64 // of all events up to it, or the feed was read as far
	behind []span // what was told of behind it, in order, with a gap before each
}

// note is a cart at a version. That stands here so that nobody has to look at the cart.
type note struct {
	version uint64
	*grain.Summary
}

// span is the positions of events that follow each other, without after.
type span struct{ after, last uint64 }

// add keeps s, unless there are too many: the log is read then.
func (n *notes) add(s *grain.Summary) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old, is := n.of[s.ID]
	switch {
	case is && old.version >= s.Version:
		return
	case !is && len(n.of) >= maxNotes:
		n.lost = true
		return
	case n.of == nil:
		n.of = make(map[string]note)
	}
	n.of[s.ID] = note{s.Version, s}
}

// told notes that all has been told which there is to tell of the events behind after, up to last. What comes too far out
// of order is forgotten: the feed is read then.
func (n *notes) told(after, last uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if after > n.head {
		n.later(after, last)
		return
	}
	n.head = max(n.head, last)
	k := 0
	for ; k < len(n.behind) && n.behind[k].after <= n.head; k++ {
		n.head = max(n.head, n.behind[k].last)
	}
	n.behind = slices.Delete(n.behind, 0, k)
}

// later puts a span behind the head where it belongs, as one with those that it touches.
func (n *notes) later(after, last uint64) {
	i := len(n.behind)
	for i > 0 && n.behind[i-1].last >= after {
		i--
	}
	k := i
	for ; k < len(n.behind) && n.behind[k].after <= last; k++ {
		after, last = min(after, n.behind[k].after), max(last, n.behind[k].last)
	}
	if i < k || len(n.behind) < maxSpans {
		n.behind = slices.Replace(n.behind, i, k, span{after, last})
	}
}

// take returns what was told of carts and forgets it, and up to where that is all there is to tell. whole is false when
// there was too much of it.
func (n *notes) take() (of map[string]note, head uint64, whole bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	of, whole = n.of, !n.lost
	n.of, n.lost = make(map[string]note, len(of)), false
	return of, n.head, whole
}

// get returns what is known of a cart if it is at least at version.
func (n *notes) get(id string, version uint64) *grain.Summary {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.of[id]; known.version >= version {
		return known.Summary // nil if version is 0
	}
	return nil
}
