package actor

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"
)

// head returns what is known of a branch. Of one without events that is nothing, which is not kept before keep is called.
func (p *past[S]) head(branch string) *Info {
	if branch == "" {
		return &p.info
	}
	if info := p.heads[branch]; info != nil {
		return info
	}
	return &Info{ID: p.id, Branch: branch}
}

// keep makes info what is known of its branch.
func (p *past[S]) keep(info *Info) {
	if info.Branch == "" {
		return
	}
	if p.heads == nil {
		p.heads = map[string]*Info{}
	}
	p.heads[info.Branch] = info
}

// infoOf is what is told of a branch: that the log is damaged may concern all of them.
func (p *past[S]) infoOf(branch string) Info {
	if branch == "" {
		return p.info
	}
	info := *p.head(branch)
	info.Damaged = p.info.Damaged
	return info
}

var errHeads = errors.New("branches of snapshot do not check out")

// appendHeads appends what is known of branches, as a snapshot has it.
func appendHeads(data []byte, heads map[string]*Info) []byte {
	data = binary.LittleEndian.AppendUint32(data, uint32(len(heads)))
	for _, name := range slices.Sorted(maps.Keys(heads)) {
		info := heads[name]
		data = append(append(data, byte(len(name))), name...)
		for _, n := range [...]uint64{info.Version, uint64(info.Created.UnixMilli()), uint64(info.Updated.UnixMilli())} {
			data = binary.LittleEndian.AppendUint64(data, n)
		}
	}
	return data
}

// readHeads reads what appendHeads has written of the grain id, and returns what comes after it.
func readHeads(data []byte, id string) (heads map[string]*Info, rest []byte, err error) {
	if len(data) < 4 {
		return nil, nil, errHeads
	}
	n, rest := binary.LittleEndian.Uint32(data), data[4:]
	heads = map[string]*Info{}
	for last := ""; n > 0; n-- {
		if len(rest) == 0 || len(rest) < 1+int(rest[0])+3*8 {
			return nil, nil, errHeads
		}
		name := string(rest[1 : 1+rest[0]])
		if name <= last { // which an empty name is, too
			return nil, nil, errHeads
		}
		last, rest = name, rest[1+len(name):]
		instant := func(at int) time.Time { return time.UnixMilli(int64(binary.LittleEndian.Uint64(rest[at:]))).UTC() }
		heads[name] = &Info{ID: id, Branch: name, Version: binary.LittleEndian.Uint64(rest), Created: instant(8), Updated: instant(16)}
		rest = rest[3*8:]
	}
	return heads, rest, nil
}

// otherHead returns a branch that is not the same in both; false if there is none.
func otherHead(a, b map[string]*Info) (name string, differ bool) {
	for name, info := range a {
		if other := b[name]; other == nil || other.Version != info.Version || !other.Created.Equal(info.Created) || !other.Updated.Equal(info.Updated) {
			return name, true
		}
	}
	for name := range b {
		if a[name] == nil {
			return name, true
		}
	}
	return "", false
}
