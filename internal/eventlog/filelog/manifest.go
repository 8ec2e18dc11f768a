package filelog

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"cartd/internal/eventlog"

	"github.com/google/uuid"
)

// The manifest of a backup: a line that says what it is of, a line for each file in the order of the paths, and a line
// that sums up. It is read and written as a stream: a shop with a million carts has one of 150 MB.
//
//	{"cartdBackup":1,"incarnation":"…","time":"2026-11-21T02:26:22.123Z"}
//	{"path":"carts/ab/c1.events.log","size":812,"sha256":"…","events":4,"damaged":1}
//	{"files":1,"carts":1,"events":4,"bytes":812,"position":4,"sha256":"…"}
//
// damaged is how many places of the file did not check out in the shop itself; left out when none. The last line's sum
// is that of all bytes before the colon in front of it. Sums are SHA-256, so that people can look with sha256sum: lines have a checksum of
// their own anyway, and beside the syncs of a backup this one costs nothing that can be measured.
const (
	manifestName    = "manifest.json"
	manifestPart    = manifestName + ".part" // what it is called until the backup is complete
	manifestVersion = 1
	manifestStart   = `{"cartdBackup":`
	manifestEnd     = `{"files":`
	maxManifestLine = 1024
)

// ErrBadBackup means that a backup is not, byte for byte, what was written.
var ErrBadBackup = errors.New("backup is not sound")

type manifestHead struct {
	Version     int       `json:"cartdBackup"`
	Incarnation uuid.UUID `json:"incarnation,omitzero"` // zero: of a log that was never opened
	Time        time.Time `json:"time"`
}

type manifestFile struct {
	Path    string `json:"path"` // relative to the directory, with slashes
	Size    int64  `json:"size"`
	SHA256  sum256 `json:"sha256"`
	Events  int    `json:"events,omitzero"`
	Damaged int    `json:"damaged,omitzero"`
}

type manifestFoot struct {
	Files    int    `json:"files"`
	Carts    int    `json:"carts"`
	Events   int    `json:"events"`
	Bytes    int64  `json:"bytes"`
	Position uint64 `json:"position"`
	SHA256   sum256 `json:"sha256"`
}

// sum256 is a SHA-256 that is 64 hex digits in JSON.
type sum256 [sha256.Size]byte

var (
	_ encoding.TextMarshaler   = sum256{}
	_ encoding.TextUnmarshaler = (*sum256)(nil)
)

// MarshalText implements [encoding.TextMarshaler].
func (s sum256) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *sum256) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return fmt.Errorf("sum has %d digits, want %d", len(text), 2*len(s))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

func sumOf(h hash.Hash) (s sum256) {
	h.Sum(s[:0])
	return s
}

// manifest reads or writes the lines of a manifest, and checks that they are one. Make it with newManifest.
type manifest struct {
	head manifestHead
	foot manifestFoot // counts what has gone by, until the last line is there
	sum  hash.Hash
	last manifestFile
	cart string // directory and stem of the last file
	// begun and done say that the first and the last line were there.
	begun, done bool
}

func newManifest() *manifest { return &manifest{sum: sha256.New()} }

func (m *manifest) write(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	m.sum.Write(line)
	_, err = w.Write(line)
	return err
}

// writeFile counts f and writes its line.
func (m *manifest) writeFile(w io.Writer, f manifestFile) error {
	m.count(f)
	return m.write(w, f)
}

// writeFoot writes the last line.
func (m *manifest) writeFoot(w io.Writer, position uint64) error {
	m.sumUp(position)
	m.done = true
	return m.write(w, m.foot)
}

// sumUp completes the last line.
func (m *manifest) sumUp(position uint64) {
	m.foot.Position = position
	line, _ := json.Marshal(m.foot) // numbers and digits alone
	m.sum.Write(line[:bytes.LastIndexByte(line, ':')])
	m.foot.SHA256 = sumOf(m.sum)
}

func (m *manifest) count(f manifestFile) {
	m.foot.Files++
	m.foot.Events += f.Events
	m.foot.Bytes += f.Size
	dir, stem, _ := splitPath(f.Path)
	if cart := dir + "/" + stem; cart != m.cart {
		m.foot.Carts++
		m.cart = cart
	}
	m.last = f
}

// read takes a line without its newline. It returns the file that the line is of; nil for the first and the last line.
// Every error wraps ErrBadBackup.
func (m *manifest) read(line []byte) (f *manifestFile, err error) {
	switch {
	case m.done:
		err = errors.New("lines behind the last one")
	case !m.begun:
		m.begun, err = true, m.readHead(line)
	case bytes.HasPrefix(line, []byte(manifestEnd)):
		m.done, err = true, m.readFoot(line)
	default:
		f = new(manifestFile)
		if err = decodeLine(line, f); err == nil {
			err = m.check(f)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: its manifest: %w", ErrBadBackup, err)
	}
	m.sum.Write(line)
	m.sum.Write([]byte{'\n'})
	return f, nil
}

func (m *manifest) readHead(line []byte) error {
	if err := decodeLine(line, &m.head); err != nil {
		return err
	}
	if m.head.Version != manifestVersion {
		return fmt.Errorf("format version %d, this program knows %d", m.head.Version, manifestVersion)
	}
	return nil
}

// check returns nil if f can follow what has gone by, and counts it.
func (m *manifest) check(f *manifestFile) error {
	switch _, _, ok := splitPath(f.Path); {
	case !ok:
		return fmt.Errorf("path %.200q is that of no file of a cart", f.Path)
	case f.Path <= m.last.Path:
		return fmt.Errorf("%s does not come behind %s", f.Path, m.last.Path)
	case f.Size < 0 || f.Events < 0 || f.Damaged < 0:
		return fmt.Errorf("%s has negative numbers", f.Path)
	}
	m.count(*f)
	return nil
}

func (m *manifest) readFoot(line []byte) error {
	var foot manifestFoot
	if err := decodeLine(line, &foot); err != nil {
		return err
	}
	m.sumUp(foot.Position)
	if m.foot != foot {
		return errors.New("its last line does not sum up the others")
	}
	return nil
}

// decodeLine reads a JSON object with no fields but those of v, written as encoding/json writes it.
func decodeLine(line []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("line %.200q: %w", line, err)
	}
	if again, err := json.Marshal(v); err != nil || !bytes.Equal(again, line) {
		return fmt.Errorf("line %.200q is not as it was written", line)
	}
	return nil
}

// splitPath returns directory and stem of a path that a cart's file has, or its archive; ok is false for any other.
func splitPath(path string) (dir, stem string, ok bool) {
	if log, is := archivedPath(path); is {
		dir, stem, ok := splitPath(log)
		return archiveDir + "/" + dir, stem, ok && log == dir+"/"+stem+logSuffix
	}
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", "", false
	}
	dir, name := path[:i], path[i+1:]
	stem, _, ok = backedUp(name)
	if !ok {
		return "", "", false
	}
	kind, many := strings.CutSuffix(dir[:max(0, strings.IndexByte(dir, '/'))], "s")
	id, err := eventlog.ParseStreamID(eventlog.Kind(kind), stem)
	return dir, stem, err == nil && many && eventlog.ValidName(kind) && newStream(id).dir == dir
}

// backedUp decides which files of a stream belong in a backup, by their names in the stream's directory: all that begin
// with its stem and a dot, its log among them (isLog). Not snapshots: they tell nothing that the log does not, and one
// that is ahead of the backup's position would show events that the backup does not have. Not what is being written.
//
// What is no log is copied as it is: it must be complete when it has its name, must never change, and must hold no event
// beyond the position of a backup that runs. Whoever seals parts of logs has to wait for a backup, or the other way
// round.
func backedUp(name string) (stem string, isLog, ok bool) {
	stem, rest, found := strings.Cut(name, ".")
	switch {
	case !found || !eventlog.ValidName(stem) || len(name) > maxFileName,
		strings.HasPrefix(rest, "snapshot"), strings.HasSuffix(rest, ".tmp"), strings.ContainsFunc(rest, notInNames):
		return "", false, false
	}
	return stem, name == stem+logSuffix, true
}

// maxFileName is the longest name of a file that a backup takes, and notInNames what none has: names come from a
// manifest, too.
const maxFileName = 128

func notInNames(r rune) bool {
	return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}
