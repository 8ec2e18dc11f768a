package filelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"cartd/internal/eventlog"
)

// Kind says what a check has found. The journal's kinds are those of package journal.
type Kind string

// What [Verify] finds in a stream's file.
const (
	BadChecksum   Kind = "checksum"        // a line's bytes are not those that were written
	BadFields     Kind = "fields"          // a line's checksum is right, but it is no event
	LongLine      Kind = "line_too_long"   // a line is longer than any that is written
	NewerLine     Kind = "newer_format"    // a line was written by a newer program
	BadVersion    Kind = "version"         // a line's version does not go up
	VersionGap    Kind = "version_gap"     // versions are missing, and no damaged line explains it
	PositionOrder Kind = "position_order"  // a line's position does not go up
	PositionTwice Kind = "position_twice"  // a line's position is another line's
	HalfCommit    Kind = "commit"          // a commit is not whole, though others follow
	JournalDiffer Kind = "journal_differs" // a line is not the one that the journal has for its position
	JournalLine   Kind = "journal_line"    // a record of the journal is no line of its stream
	JournalBehind Kind = "journal_behind"  // a file has positions that the journal has not given yet
	MissingLine   Kind = "missing"         // the journal has a line that the file should have
	Torn          Kind = "torn"            // an end that was never acknowledged
	WrongPlace    Kind = "place"           // a stream's file is in another directory than its name asks for
	NoFile        Kind = "not_a_file"      // what has a stream's name is no regular file
	BadName       Kind = "name"            // a file's name names no stream
	KnownDamage   Kind = "known_damage"    // a note: what repair could not restore
	Unexpected    Kind = "unexpected"      // a note: a file that is no part of a log
	Holes         Kind = "positions"       // a note: positions that no file has
	Leftover      Kind = "leftover"        // a note: a file that was not put in its place
)

// What it finds in the sealed parts of a stream, where offsets are those of their lines, and in its snapshots.
const (
	BadSealed      Kind = "sealed"             // a sealed part's label or content does not check out
	SealedMissing  Kind = "sealed_missing"     // a sealed part is missing in front of another one
	SealedAlone    Kind = "sealed_alone"       // a stream has sealed parts, and no file that goes on behind them
	Unforced       Kind = "sealed_twice"       // a note: a sealed part whose lines the stream's file has
	BadSnapshot    Kind = "snapshot"           // a snapshot does not check out, or is another stream's
	SnapshotLog    Kind = "snapshot_log"       // the log has not the line that a snapshot was taken behind
	SnapshotDiffer Kind = "snapshot_differs"   // a snapshot says something else than a replay of the log
	OtherSnapshot  Kind = "snapshot_not_known" // a note: a snapshot that another program has written
)

// record is a line that the journal has of a stream.
type record struct {
	pos  uint64
	line []byte // without its newline
	done bool   // a checkpoint says that the file has it
}

// piece is a line of a stream's file as an inspector sees it.
type piece struct {
	rawLine
	number int // of the line, from 1
	ev     eventlog.Event
	kind   Kind // "" when all is well
	why    error
	// Of a line that can be replayed:
	before []record // that the journal has and the file lacks here
	gap    uint64   // versions before it that nothing explains
	half   bool     // the commit of the line before it is not whole
	marker bool     // it stands for damage that repair has found
}

// usable reports whether the line is replayed as the event it is.
func (p *piece) usable() bool {
	return p.kind == "" && !p.marker || p.kind == PositionOrder || p.kind == JournalDiffer
}

// inspector goes through a stream's file beside what the journal has of it.
type inspector struct {
	replayer
	records []record // by position
	at      int      // of the next one
	last    uint64   // position
	prev    eventlog.Event
	any     bool  // prev is set, and no damage is behind it
	damaged int   // lines behind the last usable one
	number  int   // of lines
	end     int64 // behind the last line of the last whole commit
	endAt   int   // of the first record that is behind end
	rest    []record
}

func newInspector(lines *lineReader, records []record) *inspector {
	return &inspector{replayer: replayer{lines: lines}, records: records}
}

// run visits all whole lines, in order. Afterwards end and rest tell how the file ends.
func (in *inspector) run(ctx context.Context, visit func(*piece) error) error {
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		line, err := in.lines.next()
		if errors.Is(err, io.EOF) {
			in.rest = in.records[in.at:]
			return nil
		}
		if err != nil {
			return err
		}
		if !line.whole {
			continue // torn: it is behind end
		}
		in.number++
		in.place++
		p := piece{rawLine: line, number: in.number}
		in.look(&p)
		if p.kind == NewerLine || !p.usable() || !p.ev.More {
			in.end, in.endAt = line.end, in.at
		}
		if err := visit(&p); err != nil {
			return err
		}
	}
}

// look decides what p is.
func (in *inspector) look(p *piece) {
	if n, ok := parseMarker(p.text); ok {
		p.marker = true
		in.lost += n
		in.any = false
		in.damaged++
		return
	}
	if p.kind, p.why = in.kindOf(p); p.kind != "" {
		in.any = false
		in.damaged++
		if p.kind != BadVersion {
			in.lost++
		}
		return
	}
	ev := &p.ev
	if ev.Position > 0 {
		in.position(p)
	}
	if head := in.head(ev.Branch); ev.Version-head-1 > in.lost {
		p.gap = ev.Version - head - 1 - in.lost
		in.lost = 0
	} else {
		in.lost -= ev.Version - head - 1
	}
	p.half = p.kind == "" && in.any && in.prev.More && p.gap == 0 && !continues(&in.prev, ev)
	in.setHead(ev.Branch, ev.Version)
	in.prev, in.any, in.damaged = *ev, true, 0
	in.prev.Payload = nil
}

// kindOf decodes p.
func (in *inspector) kindOf(p *piece) (Kind, error) {
	if p.text == nil {
		return LongLine, errTooLong
	}
	err := in.dec.decode(p.text, &p.ev)
	if errors.Is(err, ErrNewerFormat) {
		return NewerLine, err
	}
	if err != nil {
		if _, ok := checksummed(p.text); ok {
			return BadFields, err
		}
		return BadChecksum, err
	}
	if p.ev.Version == 0 {
		p.ev.Version = in.place
	}
	if head := in.head(p.ev.Branch); p.ev.Version <= head {
		return BadVersion, fmt.Errorf("%w: %d follows %d", errBackwards, p.ev.Version, head)
	}
	return "", nil
}

// position compares a line's position with the last one and with the journal.
func (in *inspector) position(p *piece) {
	pos := p.ev.Position
	if pos <= in.last {
		p.kind, p.why = PositionOrder, fmt.Errorf("position %d follows %d", pos, in.last)
		return
	}
	in.last = pos
	from := in.at
	for in.at < len(in.records) && in.records[in.at].pos < pos {
		in.at++
	}
	p.before = in.records[from:in.at]
	if in.at < len(in.records) && in.records[in.at].pos == pos {
		if !bytes.Equal(in.records[in.at].line, p.text) {
			p.kind, p.why = JournalDiffer, fmt.Errorf("the journal has another line for position %d", pos)
		}
		in.at++
	}
}

// continues reports whether ev is of the same commit as prev, which is not its last.
func continues(prev, ev *eventlog.Event) bool {
	return ev.Branch == prev.Branch && ev.Version == prev.Version+1 && ev.Epoch == prev.Epoch && ev.Key == "" &&
		(ev.Position == 0 || prev.Position == 0 || ev.Position == prev.Position+1)
}

// A marker stands where repair could not restore what was there. It is a line that no event is, so that replay takes
// it for damage and goes on; its checksum tells it from damage that nobody has seen yet:
//
//	{"v":1,"damaged":1,"kept":"quarantine/…","crc":"…"}
//
// damaged is how many versions it explains.
const (
	markerStart = `{"v":1,"damaged":`
	markerKept  = `,"kept":`
)

// parseMarker returns how many versions the marker explains.
func parseMarker(line []byte) (versions uint64, ok bool) {
	if !bytes.HasPrefix(line, []byte(markerStart)) {
		return 0, false
	}
	body, ok := checksummed(line)
	if !ok {
		return 0, false
	}
	p := parser{rest: body[len(markerStart):]}
	versions = p.uint()
	p.lit(markerKept)
	p.text()
	return versions, !p.bad && len(p.rest) == 0
}
