package actor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"cartd/internal/idmap"
)

// Codec writes states into snapshots and reads them back.
type Codec[S any] struct {
	// Version is raised when an encoded state means something else, or when the same events make another state: a
	// snapshot of another version is not used, and the log is replayed.
	Version uint32
	// Encode appends s to dst. It must not keep or change s.
	Encode func(dst []byte, s *S) []byte
	// Decode returns the state that Encode has written: the same as a replay of the log up to there makes. It may
	// keep data, which nobody changes. After an error the log is replayed.
	Decode func(data []byte) (*S, error)
}

// A snapshot is due when a replay would read more than snapshotTail events behind the last one, and more than a part
// of all events: the larger a grain has grown, the more costs its snapshot.
const (
	snapshotTail = 256
	snapshotPart = 16
)

func (g *grain[S]) snapshotDue() bool {
	return g.cfg.Snapshots != nil && !g.unsure && g.tail > snapshotTail && g.tail > g.events/snapshotPart
}

// A snapshot's layout, integers in little-endian order:
//
//	1 byte    layout: 1 if there is nothing but main, otherwise 2
//	4 bytes   the codec's version
//	1 byte    1 if the log is damaged
//	8 bytes   version
//	8 bytes   events
//	2 × 8     times of the first and the last event, Unix milliseconds
//	8 bytes   length of the next part
//	…         the keys, as package idmap writes them
//	          with layout 2, the other branches, closed ones too:
//	4 bytes   how many there are
//	          of each, by ascending name:
//	1 byte    length of its name
//	…         its name
//	3 × 8     version, times of the first and the last event
//	rest      the state
//
// It has no checksum: the log has to see to it that what it gives back is what it got.
const (
	snapshotLayout   = 1
	snapshotBranches = 2
	snapshotHead     = 1 + 4 + 1 + 5*8
)

// errOtherSnapshot refuses a snapshot of another program.
var errOtherSnapshot = errors.New("snapshot has another layout or version")

// takeSnapshot hands the present state to the log, if the last one is too long ago.
func (g *grain[S]) takeSnapshot() {
	if g.snapshotDue() {
		g.claim.Snapshot(g.info.Version, g.snapshot(g.state))
		g.tail = 0
	}
}

// snapshot returns the snapshot of what the events have made, which state is.
func (p *past[S]) snapshot(state *S) []byte {
	keys := p.keys.ids.Bytes()
	data := make([]byte, 0, snapshotHead+len(keys)+1024)
	layout := byte(snapshotLayout)
	if len(p.heads) > 0 {
		layout = snapshotBranches
	}
	data = append(data, layout)
	data = binary.LittleEndian.AppendUint32(data, p.cfg.Snapshots.Version)
	damaged := byte(0)
	if p.info.Damaged {
		damaged = 1
	}
	data = append(data, damaged)
	for _, n := range [...]uint64{p.info.Version, p.events, uint64(p.info.Created.UnixMilli()), uint64(p.info.Updated.UnixMilli()), uint64(len(keys))} {
		data = binary.LittleEndian.AppendUint64(data, n)
	}
	data = append(data, keys...)
	if layout == snapshotBranches {
		data = appendHeads(data, p.heads)
	}
	return p.cfg.Snapshots.Encode(data, state)
}

// load returns the state of a snapshot, and takes over what else it knows. Nothing is changed after an error.
func (p *past[S]) load(data []byte) (state *S, err error) {
	switch {
	case len(data) > 0 && data[0] != snapshotLayout && data[0] != snapshotBranches, len(data) >= snapshotHead && binary.LittleEndian.Uint32(data[1:]) != p.cfg.Snapshots.Version:
		return nil, errOtherSnapshot
	case len(data) < snapshotHead:
		return nil, fmt.Errorf("snapshot has %d bytes", len(data))
	}
	var n [5]uint64
	for i := range n {
		n[i] = binary.LittleEndian.Uint64(data[6+8*i:])
	}
	rest := data[snapshotHead:]
	if n[4] > uint64(len(rest)) {
		return nil, fmt.Errorf("snapshot has %d bytes of keys in %d", n[4], len(rest))
	}
	keys, err := idmap.Load[[1]uint64](rest[:n[4]:n[4]])
	if err != nil {
		return nil, fmt.Errorf("keys of snapshot: %w", err)
	}
	rest = rest[n[4]:]
	var heads map[string]*Info
	if data[0] == snapshotBranches {
		if heads, rest, err = readHeads(rest, p.id); err != nil {
			return nil, err
		}
	}
	defer func() {
		if r := recover(); r != nil { // as a handler that panics: the log is there
			p.cfg.Observer.Panicked(p.cfg.Kind, p.id, r)
			err = fmt.Errorf("decode snapshot: panic: %v", r)
		}
	}()
	if state, err = p.cfg.Snapshots.Decode(rest); err != nil {
		return nil, fmt.Errorf("decode snapshot: %w", err)
	}
	p.info = Info{ID: p.id, Version: n[0], Damaged: data[5] != 0,
		Created: time.UnixMilli(int64(n[2])).UTC(), Updated: time.UnixMilli(int64(n[3])).UTC()}
	p.heads, p.latest = heads, p.info.Updated
	for _, info := range heads {
		if info.Updated.After(p.latest) {
			p.latest = info.Updated
		}
	}
	p.events = n[1]
	p.keys = keyring{keys}
	return state, nil
}
