package filelog

import (
	"errors"
	"io"
	"iter"

	"cartd/internal/eventlog"
)

// ErrOwnLine means that a line is not one of the service before cartd, but of cartd itself.
var ErrOwnLine = errors.New("line was written by cartd")

// OldLine is a line of a log of the service before cartd.
type OldLine struct {
	Number int   // from 1
	Offset int64 // bytes
	Text   []byte
	// Event has time, type and payload. Valid until the loop's next step, as Text is.
	Event eventlog.Event
	// Err says why the line does not check out; ErrOwnLine if it would, in a log of cartd.
	Err error
}

// OldLines yields the lines of a log of the service before cartd, which has size bytes. It reads on behind lines that do
// not check out; the error is about reading, and comes last.
func OldLines(r io.ReaderAt, size int64) iter.Seq2[OldLine, error] {
	return func(yield func(OldLine, error) bool) {
		lines := newLineReader(r, size, 8<<20)
		for n := 1; ; n++ {
			raw, err := lines.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(OldLine{}, err)
				return
			}
			line := OldLine{Number: n, Offset: raw.start, Text: raw.text}
			switch _, own := checksummed(raw.text); {
			case raw.text == nil:
				line.Err = errTooLong
			case own:
				line.Err = ErrOwnLine
			default:
				// The last line may lack its newline: if it is whole otherwise, somebody has edited the file.
				line.Err = decodeLegacy(raw.text, &line.Event)
			}
			if !yield(line, nil) {
				return
			}
		}
	}
}
