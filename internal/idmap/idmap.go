// Package idmap maps 16-byte ids, evenly spread ones such as hashes, to a few integers each, for sets that are stored
// as a whole and grow by a small part between two times.
//
// What was stored stays the bytes that it was stored as, sorted, and is searched there: with 100,000 ids that takes a
// microsecond, and making a map of them would take longer than all else that is done when they are read. What was
// added since is in a map.
//
//	bytes   n × (16 + 8·len(V)), ascending by id: the id, then the integers in little-endian order
package idmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sort"
)

// ID is what a Map finds values by.
type ID = [16]byte

// Words are the values that a Map can hold.
type Words interface{ ~[1]uint64 | ~[3]uint64 }

// Map is a map that is quick to load. The zero value is empty. For one goroutine at a time.
type Map[V Words] struct {
	sorted  []byte // read-only
	recent  map[ID]V
	highest ID // of all: what is above it need not be looked for, as most new ids are that begin with the time
}

// ErrInvalid means that bytes are not those of a Map.
var ErrInvalid = errors.New("not the bytes of an id map")

// Load returns the Map whose Bytes are given. It keeps sorted, which must not change any more. It checks the length
// alone: that they are what Bytes returned is for the caller's checksum to say.
func Load[V Words](sorted []byte) (Map[V], error) {
	w := Width[V]()
	if len(sorted)%w != 0 {
		return Map[V]{}, ErrInvalid
	}
	m := Map[V]{sorted: sorted}
	if n := len(sorted); n > 0 {
		m.highest = ID(sorted[n-w:])
	}
	return m, nil
}

// Width returns how many bytes an entry takes.
func Width[V Words]() int {
	var v V
	return len(ID{}) + 8*len(v)
}

// Len returns how many ids there are; an id that was set again since Load or Bytes counts twice.
func (m *Map[V]) Len() int { return len(m.sorted)/Width[V]() + len(m.recent) }

// Get returns the value of id.
func (m *Map[V]) Get(id ID) (v V, ok bool) {
	if bytes.Compare(id[:], m.highest[:]) > 0 {
		return v, false
	}
	if v, ok := m.recent[id]; ok {
		return v, true
	}
	w := Width[V]()
	i, ok := sort.Find(len(m.sorted)/w, func(i int) int { return bytes.Compare(id[:], m.sorted[i*w:i*w+len(id)]) })
	if !ok {
		return v, false
	}
	return Value[V](m.sorted[i*w:]), true
}

// Set sets the value of id.
func (m *Map[V]) Set(id ID, v V) {
	if m.recent == nil {
		m.recent = make(map[ID]V)
	}
	m.recent[id] = v
	if bytes.Compare(id[:], m.highest[:]) > 0 {
		m.highest = id
	}
}

// Bytes returns all entries, to be loaded again. They must not be changed: the Map holds them from now on. It takes
// time in proportion to their number, and to sort those that were set since it was called last.
func (m *Map[V]) Bytes() []byte {
	if len(m.recent) == 0 {
		return m.sorted
	}
	w := Width[V]()
	all := make([]byte, 0, len(m.sorted)+len(m.recent)*w)
	old := m.sorted
	for _, id := range slices.SortedFunc(maps.Keys(m.recent), func(a, b ID) int { return bytes.Compare(a[:], b[:]) }) {
		n := sort.Search(len(old)/w, func(i int) bool { return bytes.Compare(old[i*w:i*w+len(id)], id[:]) >= 0 }) * w
		all = append(all, old[:n]...)
		if old = old[n:]; len(old) > 0 && bytes.Equal(old[:len(id)], id[:]) {
			old = old[w:] // set again
		}
		all = append(all, id[:]...)
		v := m.recent[id]
		for i := range len(v) {
			all = binary.LittleEndian.AppendUint64(all, v[i])
		}
	}
	m.sorted, m.recent = append(all, old...), nil
	return m.sorted
}

// Value returns the value of the entry that b begins with.
func Value[V Words](b []byte) (v V) {
	for i := range len(v) {
		v[i] = binary.LittleEndian.Uint64(b[len(ID{})+8*i:])
	}
	return v
}
