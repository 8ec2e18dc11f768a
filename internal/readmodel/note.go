package readmodel

import (
	"sync"

	"cartd/internal/grain"
)

// maxNotes bounds what was told of and is not in the rows yet.
const maxNotes = 1 << 16

// notes are what activations have told of their carts, the newest of each.
type notes struct {
	mu    sync.Mutex // guards the following
	of    map[string]note
	round uint64
}

type note struct {
	grain.Summary
	round uint64 // in which it was told
}

// add keeps s, unless there are too many: the log is read then.
func (n *notes) add(s grain.Summary) {
	n.mu.Lock()
	defer n.mu.Unlock()
	old, is := n.of[s.ID]
	if is && old.Version >= s.Version || !is && len(n.of) >= maxNotes {
		return
	}
	if n.of == nil {
		n.of = make(map[string]note)
	}
	n.of[s.ID] = note{s, n.round}
}

// get returns what is known of a cart if it is at least at version. What is exactly of it is not needed again.
func (n *notes) get(id string, version uint64) (grain.Summary, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known, is := n.of[id]
	if !is || known.Version < version {
		return grain.Summary{}, false
	}
	if known.Version == version {
		delete(n.of, id)
	}
	return known.Summary, true
}

// begin begins a round. What was told before it is of events that are in the feed already.
func (n *notes) begin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.round++
}

// end forgets what was told before the round that has come to the feed's end: it is in the rows.
func (n *notes) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for id, known := range n.of {
		if known.round < n.round {
			delete(n.of, id)
		}
	}
}
