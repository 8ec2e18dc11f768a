// Package idmap maps 16-byte ids, evenly spread ones such as hashes, to a few integers each, for sets that are stored
// as a whole and grow by a small part between two times.
//
// What was stored stays the bytes that it was stored as, sorted, and is searched there: with 100,000 ids that takes a
// microsecond, and making a map of them would take longer than all else that is done when they are read. Of what was
// added since, ids that were above all others, as most new ids are that begin with the time, are a list in their order,
// which costs neither a hash nor the room of a map; the others are in a map.
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
	sorted  []byte     // read-only
	rising  []entry[V] // added since; each above the one before it and above those of sorted
	others  map[ID]V   // added since
	highest ID         // of all: what is above it need not be looked for
}

type entry[V Words] struct {
	id    ID
	value V
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
func (m *Map[V]) Len() int { return len(m.sorted)/Width[V]() + len(m.rising) + len(m.others) }

// Get returns the value of id.
func (m *Map[V]) Get(id ID) (v V, ok bool) {
	if bytes.Compare(id[:], m.highest[:]) > 0 {
		return v, false
	}
	if v, ok := m.others[id]; ok {
		return v, true
	}
	if i, ok := slices.BinarySearchFunc(m.rising, id, entry[V].compare); ok {
		return m.rising[i].value, true
	}
	w := Width[V]()
	i, ok := sort.Find(len(m.sorted)/w, func(i int) int { return bytes.Compare(id[:], m.sorted[i*w:i*w+len(id)]) })
	if !ok {
		return v, false
	}
	return Value[V](m.sorted[i*w:]), true
}

func (e entry[V]) compare(id ID) int { return bytes.Compare(e.id[:], id[:]) }

// Set sets the value of id.
func (m *Map[V]) Set(id ID, v V) {
	if bytes.Compare(id[:], m.highest[:]) > 0 {
		m.rising = append(m.rising, entry[V]{id, v})
		m.highest = id
		return
	}
	if m.others == nil {
		m.others = make(map[ID]V)
	}
	m.others[id] = v
}

// Bytes returns all entries, to be loaded again. They must not be changed: the Map holds them from now on. It takes
// time in proportion to their number, and to sort those of them that were set since it was called last and were not above all others.
func (m *Map[V]) Bytes() []byte {
	if len(m.rising) == 0 && len(m.others) == 0 {
		return m.sorted
	}
	w := Width[V]()
	all := make([]byte, 0, m.Len()*w)
	old, rising := m.sorted, m.rising
	add := func(id ID, v V) {
		all = append(all, id[:]...)
		for i := range len(v) {
			all = binary.LittleEndian.AppendUint64(all, v[i])
		}
	}
	// until adds what is below id, and leaves out what is equal to it: that is set again.
	until := func(id ID) {
		n := sort.Search(len(old)/w, func(i int) bool { return bytes.Compare(old[i*w:i*w+len(id)], id[:]) >= 0 }) * w
		all = append(all, old[:n]...)
		if old = old[n:]; len(old) > 0 && bytes.Equal(old[:len(id)], id[:]) {
			old = old[w:]
		}
		i, equal := slices.BinarySearchFunc(rising, id, entry[V].compare)
		for _, e := range rising[:i] {
			add(e.id, e.value)
		}
		if rising = rising[i:]; equal {
			rising = rising[1:]
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(m.others), func(a, b ID) int { return bytes.Compare(a[:], b[:]) }) {
		until(id)
		add(id, m.others[id])
	}
	all = append(all, old...)
	for _, e := range rising {
		add(e.id, e.value)
	}
	m.sorted, m.rising, m.others = all, nil, nil
	return all
}

// Value returns the value of the entry that b begins with.
func Value[V Words](b []byte) (v V) {
	for i := range len(v) {
		v[i] = binary.LittleEndian.Uint64(b[len(ID{})+8*i:])
	}
	return v
}
