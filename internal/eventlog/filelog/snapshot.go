package filelog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"strings"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/vfs"
	"cartd/internal/idmap"
)

// A snapshot is <id>.snapshot, and <id>.snapshot.old the one before. Its file, integers in little-endian order:
//
//	8 bytes   "cartsnap"
//	4 bytes   CRC-32C of all that follows
//	4 bytes   length of the next part
//	…         the head, JSON
//	…         the event ids, as package idmap writes them: version, sum and position of each
//	rest      what the activation has handed over
const (
	snapshotMagic   = "cartsnap"
	snapshotVersion = 1
	snapshotStart   = len(snapshotMagic) + 4 + 4
	maxSnapshot     = 1 << 30 // bytes
)

// snapshotHead says what a snapshot stands for.
type snapshotHead struct {
	Version  int               `json:"v"`
	Stream   string            `json:"stream"`
	Offset   int64             `json:"offset"` // bytes of the log that it stands for
	Lines    uint64            `json:"lines"`  // of them
	Last     line32            `json:"last"`   // the last of these
	Main     uint64            `json:"main"`   // version
	Branches map[string]uint64 `json:"branches,omitempty"`
	IDs      int64             `json:"ids"` // bytes
}

// snapshotFile is what a snapshot's file holds.
type snapshotFile struct {
	snapshotHead
	ids  []byte
	data []byte
}

var errSnapshot = fmt.Errorf("%w: snapshot does not check out", eventlog.ErrCorrupt)

func snapshotPath(path string) string { return strings.TrimSuffix(path, logSuffix) + ".snapshot" }

func oldSnapshotPath(path string) string { return snapshotPath(path) + ".old" }

// encode returns the bytes of the snapshot's file.
func (s *snapshotFile) encode() ([]byte, error) {
	s.snapshotHead.Version, s.IDs = snapshotVersion, int64(len(s.ids))
	head, err := json.Marshal(&s.snapshotHead)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, snapshotStart+len(head)+len(s.ids)+len(s.data))
	b = append(b, snapshotMagic...)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	b = append(append(append(b, head...), s.ids...), s.data...)
	binary.LittleEndian.PutUint32(b[len(snapshotMagic):], crc32.Checksum(b[len(snapshotMagic)+4:], castagnoli))
	return b, nil
}

// decodeSnapshot reads what encode has written. The result points into b.
func decodeSnapshot(b []byte) (*snapshotFile, error) {
	if len(b) < snapshotStart || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return nil, fmt.Errorf("%w: it does not begin like one", errSnapshot)
	}
	rest := b[len(snapshotMagic):]
	if crc32.Checksum(rest[4:], castagnoli) != binary.LittleEndian.Uint32(rest) {
		return nil, fmt.Errorf("%w: its checksum", errSnapshot)
	}
	size, rest := binary.LittleEndian.Uint32(rest[4:]), rest[8:]
	if uint64(size) > uint64(len(rest)) {
		return nil, fmt.Errorf("%w: its head is cut", errSnapshot)
	}
	s := &snapshotFile{}
	if err := json.Unmarshal(rest[:size], &s.snapshotHead); err != nil {
		return nil, fmt.Errorf("%w: its head: %w", errSnapshot, err)
	}
	rest = rest[size:]
	switch {
	case s.snapshotHead.Version > snapshotVersion:
		return nil, fmt.Errorf("snapshot: %w", ErrNewerFormat)
	case s.snapshotHead.Version < 1, s.Offset < 1, s.IDs < 0, s.IDs > int64(len(rest)), s.IDs%int64(idmap.Width[known]()) != 0:
		return nil, fmt.Errorf("%w: its head", errSnapshot)
	}
	s.ids, s.data = rest[:s.IDs:s.IDs], rest[s.IDs:]
	return s, nil
}

// readSnapshot reads the snapshot at path, and checks that it is one of the stream. A missing one is nil.
func readSnapshot(fs vfs.FS, path string, id eventlog.StreamID) (*snapshotFile, error) {
	f, size, err := openLog(fs, path)
	if f == nil || err != nil {
		return nil, err
	}
	if size > maxSnapshot {
		return nil, errors.Join(fmt.Errorf("%w: it has %d bytes", errSnapshot, size), f.Close())
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if n == len(b) {
		err = nil
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	s, err := decodeSnapshot(b)
	if err != nil {
		return nil, err
	}
	if s.Stream != id.String() {
		return nil, fmt.Errorf("%w: it is one of %.100q", errSnapshot, s.Stream)
	}
	return s, nil
}

// restore offers load the stream's snapshots, and lets the activation and the replayer begin behind the one that it
// takes. It returns the offset of the first line to replay.
func (a *activation) restore(h *history, r *replayer, load func([]byte) error) (from int64) {
	l, s := a.log, a.s
	for _, path := range []string{snapshotPath(s.path), oldSnapshotPath(s.path)} {
		snap, err := readSnapshot(l.fs, path, s.id)
		if snap == nil && err == nil {
			continue
		}
		if err == nil {
			err = a.begin(h, r, snap, load)
		}
		if err == nil {
			return snap.Offset
		}
		if errors.Is(err, eventlog.ErrPassedOver) {
			continue
		}
		l.metrics.SnapshotsUnused.Inc()
		l.opts.Logger.Warn("snapshot is not used", "stream", s.id.String(), "file", path, "error", err)
	}
	return 0
}

func (a *activation) begin(h *history, r *replayer, snap *snapshotFile, load func([]byte) error) error {
	if snap.Offset > a.end {
		return fmt.Errorf("%w: it stands for %d bytes, the log has %d", errSnapshot, snap.Offset, a.end)
	}
	switch ok, err := h.recognises(snap.Offset, snap.Last); {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("%w: the log has another line at byte %d", errSnapshot, snap.Offset)
	}
	ids, err := idmap.Load[known](snap.ids)
	if err != nil {
		return fmt.Errorf("%w: %w", errSnapshot, err)
	}
	if err := load(snap.data); err != nil {
		return err
	}
	a.ids = ids
	r.place, r.main, r.heads = snap.Lines, snap.Main, maps.Clone(snap.Branches)
	return nil
}

// resolved returns ids with the positions of those events that were queued when they were taken.
func (a *activation) resolved(ids []byte) []byte {
	width := idmap.Width[known]()
	ids = bytes.Clone(ids)
	a.s.mu.Lock()
	decided := activation{positions: a.positions} // they only ever grow: the committer need not wait for the loop
	a.s.mu.Unlock()
	for at := 0; at < len(ids); at += width {
		place := ids[at+width-8 : at+width]
		if n := binary.LittleEndian.Uint64(place); n&queuedPlace != 0 {
			binary.LittleEndian.PutUint64(place, decided.position(n))
		}
	}
	return ids
}
