package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"strconv"
	"strings"

	"cartd/internal/eventlog/filelog/vfs"

	"github.com/google/uuid"
)

const (
	formatVersion  = 1
	segmentHeader  = 48
	segmentMagic   = "cartdwal"
	segmentSuffix  = ".wal"
	tmpSuffix      = ".tmp"
	positionDigits = 20

	checkpointName  = "checkpoint"
	checkpointTmp   = checkpointName + tmpSuffix
	checkpointBytes = 56
	checkpointMagic = "cartdchk"
)

// ErrNewerFormat means that a newer program has written the journal.
var ErrNewerFormat = errors.New("journal has a newer format than this program knows")

// CorruptError says where acknowledged data does not check out.
type CorruptError struct {
	File   string // relative to the tree's root
	Offset int64  // bytes
	Why    error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("journal file %s is damaged at byte %d: %v", e.File, e.Offset, e.Why)
}

func (e *CorruptError) Unwrap() error { return e.Why }

// header is a segment's.
type header struct {
	id    ID
	first uint64 // position
	frame uint64 // number of the first frame
}

func (h header) encode() []byte {
	b := make([]byte, 0, segmentHeader)
	b = append(b, segmentMagic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = append(b, h.id[:]...)
	b = binary.LittleEndian.AppendUint64(b, h.first)
	b = binary.LittleEndian.AppendUint64(b, h.frame)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeHeader(b []byte) (header, error) {
	if len(b) < segmentHeader {
		return header{}, fmt.Errorf("%d bytes are no header", len(b))
	}
	body, err := checked(b[:segmentHeader], segmentMagic)
	if err != nil {
		return header{}, err
	}
	h := header{id: ID(body[:16]), first: binary.LittleEndian.Uint64(body[16:]), frame: binary.LittleEndian.Uint64(body[24:])}
	if h.first == 0 || h.frame == 0 {
		return header{}, errors.New("positions and frames are numbered from 1")
	}
	return h, nil
}

// checked returns what stands between format version and checksum of b.
func checked(b []byte, magic string) ([]byte, error) {
	sum := len(b) - 4
	if !bytes.HasPrefix(b, []byte(magic)) {
		return nil, fmt.Errorf("it begins with %q, want %q", b[:len(magic)], magic)
	}
	if got, want := crc32.Checksum(b[:sum], castagnoli), binary.LittleEndian.Uint32(b[sum:]); got != want {
		return nil, fmt.Errorf("header's checksum is %08x, want %08x", got, want)
	}
	if v := binary.LittleEndian.Uint32(b[len(magic):]); v > formatVersion {
		return nil, fmt.Errorf("%w: version %d, want at most %d", ErrNewerFormat, v, formatVersion)
	} else if v != formatVersion {
		return nil, fmt.Errorf("format version %d is unknown", v)
	}
	return b[len(magic)+4 : sum], nil
}

func segmentName(first uint64) string {
	return fmt.Sprintf("%0*d", positionDigits, first) + segmentSuffix
}

// parseName returns the position in a segment's name.
func parseName(name string) (first uint64, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != positionDigits {
		return 0, false
	}
	first, err := strconv.ParseUint(digits, 10, 64)
	return first, err == nil && first > 0
}

// State says where a journal stands.
type State struct {
	ID       ID
	Run      uint64 // of the last process
	Frame    uint64 // number of the last frame; 0: none
	Position uint64 // of the last event; 0: none
}

// NewState returns the state of a new log, whose last event before the journal was at position.
func NewState(position uint64) State {
	return State{ID: ID(uuid.New()), Position: position}
}

func (s State) encode() []byte {
	b := make([]byte, 0, checkpointBytes)
	b = append(b, checkpointMagic...)
	b = binary.LittleEndian.AppendUint32(b, formatVersion)
	b = append(b, s.ID[:]...)
	b = binary.LittleEndian.AppendUint64(b, s.Run)
	b = binary.LittleEndian.AppendUint64(b, s.Frame)
	b = binary.LittleEndian.AppendUint64(b, s.Position)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeState(b []byte) (State, error) {
	if len(b) < checkpointBytes {
		return State{}, fmt.Errorf("it has %d bytes, want %d", len(b), checkpointBytes)
	}
	body, err := checked(b[:checkpointBytes], checkpointMagic)
	if err != nil {
		return State{}, err
	}
	if len(b) > checkpointBytes { // a newer one, which may be longer, has been told above
		return State{}, fmt.Errorf("it has more than %d bytes", checkpointBytes)
	}
	return State{ID: ID(body[:16]), Run: binary.LittleEndian.Uint64(body[16:]), Frame: binary.LittleEndian.Uint64(body[24:]),
		Position: binary.LittleEndian.Uint64(body[32:])}, nil
}

// readState reads the checkpoint in dir. ok is false when there is none.
func readState(tree vfs.FS, dir string) (s State, ok bool, err error) {
	name := dir + "/" + checkpointName
	f, err := tree.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, false, nil
	}
	if err != nil {
		return State{}, false, err
	}
	b, err := readAll(f, name, checkpointBytes+1)
	if err != nil {
		return State{}, false, err
	}
	if s, err = decodeState(b); err != nil {
		return State{}, false, &CorruptError{name, 0, err}
	}
	return s, true, nil
}

// writeState replaces the checkpoint, durably if sync is set.
func writeState(tree vfs.FS, dir string, s State, sync bool) error {
	tmp := dir + "/" + checkpointTmp
	f, err := tree.Create(tmp)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(s.encode(), 0)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := tree.Rename(tmp, dir+"/"+checkpointName); err != nil {
		return err
	}
	if !sync {
		return nil
	}
	return tree.SyncDir(dir)
}

// readAll reads the first most bytes of f, or all if they are fewer, and closes it.
func readAll(f vfs.File, name string, most int64) (b []byte, err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b = make([]byte, min(size, most))
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, fmt.Errorf("read %s: %d of %d bytes: %w", name, n, len(b), err)
	}
	return b, nil
}
