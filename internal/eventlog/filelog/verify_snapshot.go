package filelog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"cartd/internal/eventlog"
	"cartd/internal/idmap"
)

// readFile is a snapshot and where it was read.
type readFile struct {
	path string
	*snapshotFile
}

// readSnapshots reads those of the stream that check out by themselves, the one that stands for less first.
func (k *streamCheck) readSnapshots() (snaps []readFile, err error) {
	c := k.c
	if !c.second && !c.beside[k.path].snapshots {
		return nil, nil
	}
	for _, path := range []string{snapshotPath(k.path), oldSnapshotPath(k.path)} {
		mode, err := c.tree.Mode(path)
		if isNotExist(err) || err == nil && !mode.IsRegular() { // told already
			continue
		}
		if err != nil {
			return nil, err
		}
		s, err := readSnapshot(c.tree, path, k.id())
		switch {
		case errors.Is(err, ErrNewerFormat):
			k.otherSnapshot(path, err)
		case errors.Is(err, errSnapshot):
			k.fault(path, 0, 0, BadSnapshot, k.sizeOf(path), err.Error())
		case err != nil:
			return nil, err
		case s != nil:
			snaps = append(snaps, readFile{path, s})
		}
	}
	slices.SortStableFunc(snaps, func(a, b readFile) int { return cmp.Compare(a.Offset, b.Offset) })
	return snaps, nil
}

// sizeOf tells a snapshot that cannot be read from another one, whatever its name is by now: a negative number.
func (k *streamCheck) sizeOf(path string) int64 {
	f, size, err := openLog(k.c.tree, path)
	if f == nil || err != nil {
		return -1
	}
	f.Close() // only asked for its size
	return -1 - size
}

func (k *streamCheck) otherSnapshot(path string, why error) {
	if !k.c.second {
		k.c.note(Finding{File: path, Kind: OtherSnapshot, Detail: "is not compared with the log: " + why.Error(), stream: k.path})
	}
}

// compare replays the log up to where each snapshot stands, as an activation without one does, and compares. It
// returns how many were. Behind a fault of the log there is nothing to compare with.
func (k *streamCheck) compare(ctx context.Context, in *inspector, snaps []readFile) (compared int, err error) {
	if len(snaps) == 0 {
		return 0, nil
	}
	sound := k.sound()
	w := wholeLog(k.h, in)
	src := w.reader()
	var (
		from  int64
		ids   idmap.Map[known]
		state Replayer
	)
	if k.c.opts.State != nil {
		state = k.c.opts.State(k.id())
	}
	r := &replayer{id: k.id()}
	for _, s := range snaps {
		if s.Offset > sound {
			continue
		}
		if ok, err := w.recognises(s.Offset, s.Last); err != nil {
			return compared, err
		} else if !ok {
			k.fault(s.path, 0, 0, SnapshotLog, s.Offset, fmt.Sprintf("it stands for %d bytes of the log, which has %d, and not that line there", s.Offset, w.size()))
			k.faults[len(k.faults)-1].beyond = s.Offset > w.size()
			continue
		}
		r.lines = newLineReaderAt(src, from, s.Offset, k.c.opts.MaxLineBytes)
		from = s.Offset
		r.run(ctx, func(ev eventlog.Event, e error) bool {
			if err = e; err != nil {
				return false
			}
			if ev.ID != [16]byte{} {
				know(&ids, &ev, ev.Position)
			}
			if state != nil {
				state.Apply(ev)
			}
			return true
		})
		if err != nil {
			return compared, err
		}
		compared++
		why := s.differs(r, &ids)
		if why == "" && state != nil {
			var other error
			if why, other = state.Compare(s.data); other != nil {
				k.otherSnapshot(s.path, other)
			}
		}
		if why != "" {
			k.fault(s.path, 0, 0, SnapshotDiffer, s.Offset, why)
		}
	}
	return compared, nil
}

// differs says what the snapshot's own part tells otherwise than a replay up to it.
func (s readFile) differs(r *replayer, ids *idmap.Map[known]) string {
	switch {
	case s.Lines != r.place:
		return fmt.Sprintf("it stands for %d lines, the log has %d up to there", s.Lines, r.place)
	case s.Main != r.main || !maps.Equal(s.Branches, r.heads):
		return fmt.Sprintf("it has version %d and branches %v, a replay gives %d and %v", s.Main, s.Branches, r.main, r.heads)
	case !bytes.Equal(s.ids, ids.Bytes()):
		return fmt.Sprintf("its ids of %d events are not those that a replay gives, of %d", len(s.ids)/idmap.Width[known](), ids.Len())
	}
	return ""
}
