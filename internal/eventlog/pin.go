package eventlog

import "sync"

// Pins are the positions that consumers still read from, for stores to implement [Feed] with. The zero value is ready.
type Pins struct {
	mu     sync.Mutex // guards the following, and the pins' positions
	pinned map[*Pin]struct{}
}

// Pin keeps what follows a position. Its methods are safe for concurrent use.
type Pin struct {
	pins  *Pins
	after uint64
}

// Add returns a pin on what follows after.
func (p *Pins) Add(after uint64) *Pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pinned == nil {
		p.pinned = make(map[*Pin]struct{})
	}
	pin := &Pin{p, after}
	p.pinned[pin] = struct{}{}
	return pin
}

// Least returns the lowest position that is pinned; ok is false when there is none.
func (p *Pins) Least() (after uint64, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for pin := range p.pinned {
		if !ok || pin.after < after {
			after, ok = pin.after, true
		}
	}
	return after, ok
}

// Move lets go of what is not above after.
func (p *Pin) Move(after uint64) {
	p.pins.mu.Lock()
	defer p.pins.mu.Unlock()
	p.after = after
}

// Release lets go of everything. Twice is harmless.
func (p *Pin) Release() {
	p.pins.mu.Lock()
	defer p.pins.mu.Unlock()
	delete(p.pins.pinned, p)
}
