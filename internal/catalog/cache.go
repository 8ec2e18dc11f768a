package catalog

import (
	"container/list"
	"time"
)

// cache keeps at most max values, and drops the one that was not used for longest to make room.
// It knows nothing of time; its entries carry theirs. Not safe for concurrent use.
type cache[T any] struct {
	max    int
	byUse  list.List // of *cached[T], the most recently used in front
	byName map[key]*list.Element
}

// cached is one value with its times.
type cached[T any] struct {
	key   key
	value T
	asked time.Time // when the backend was asked for it: its age counts from here
	until time.Time // it is used without asking again before this
}

func newCache[T any](max int) *cache[T] {
	return &cache[T]{max: max, byName: make(map[key]*list.Element)}
}

// get returns the entry, fresh or not, and counts as a use; nil if there is none. The caller may
// change its until.
func (c *cache[T]) get(k key) *cached[T] {
	e, ok := c.byName[k]
	if !ok {
		return nil
	}
	c.byUse.MoveToFront(e)
	return e.Value.(*cached[T])
}

// put keeps the entry, in place of one with the same key.
func (c *cache[T]) put(v cached[T]) {
	if e, ok := c.byName[v.key]; ok {
		e.Value = &v
		c.byUse.MoveToFront(e)
		return
	}
	c.byName[v.key] = c.byUse.PushFront(&v)
	if c.byUse.Len() > c.max {
		c.remove(c.byUse.Back().Value.(*cached[T]).key)
	}
}

func (c *cache[T]) remove(k key) {
	if e, ok := c.byName[k]; ok {
		delete(c.byName, k)
		c.byUse.Remove(e)
	}
}
