// Package sse writes and reads server-sent events as the HTML standard has them ("9.2 Server-sent events"), as far as
// cartd sends them: lines end with LF or CRLF, and data is one line.
//
//	id: 4
//	event: AddItem
//	data: {"position":1201,…}
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// ContentType is the media type.
const ContentType = "text/event-stream"

// MaxLineBytes bounds a line that a Reader takes.
const MaxLineBytes = 8 << 20

// ErrTooLong means that a line has more than MaxLineBytes.
var ErrTooLong = errors.New("a line of the stream is too long")

// Event is one that has come.
type Event struct {
	ID   string // of the stream as it is behind this event; "" until one has come
	Type string // "message" if none was given
	Data []byte // valid until the next call
}

// AppendID appends the id of an event, or, in front of an empty line, what moves the reader's cursor and is no event.
func AppendID(b []byte, id uint64) []byte {
	b = append(b, "id: "...)
	b = strconv.AppendUint(b, id, 10)
	return append(b, '\n')
}

// AppendType appends the type of an event. A line break in it, which would begin a line of another meaning, becomes a space.
func AppendType(b []byte, name string) []byte {
	b = append(b, "event: "...)
	at := len(b)
	b = append(b, name...)
	for i, c := range b[at:] {
		if c == '\n' || c == '\r' {
			b[at+i] = ' '
		}
	}
	return append(b, '\n')
}

// AppendComment appends a line that no reader is told of.
func AppendComment(b []byte, text string) []byte {
	b = append(b, ": "...)
	b = append(b, text...)
	return append(b, '\n', '\n')
}

// Reader reads the events of a stream. Make it with NewReader.
type Reader struct {
	r    *bufio.Reader
	line []byte
	data []byte
	id   string
}

// NewReader returns a reader of r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReaderSize(r, 16<<10)} }

// LastID returns the id to go on behind: that of the last event, or of a later line that moves the cursor alone.
func (r *Reader) LastID() string { return r.id }

// Next returns the next event. io.EOF is the end between two events, io.ErrUnexpectedEOF one within an event, which then did
// not happen.
func (r *Reader) Next() (Event, error) {
	r.data = r.data[:0]
	kind, id, begun, filled := "", r.id, false, false
	for {
		line, err := r.readLine()
		if err != nil {
			if errors.Is(err, io.EOF) && (begun || len(line) > 0) {
				err = io.ErrUnexpectedEOF
			}
			return Event{}, err
		}
		if len(line) == 0 {
			r.id = id
			if filled {
				if kind == "" {
					kind = "message"
				}
				return Event{ID: id, Type: kind, Data: r.data}, nil
			}
			kind, begun = "", false
			continue
		}
		begun = true
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				id = string(value)
			}
		case "event":
			kind = string(value)
		case "data":
			if filled {
				r.data = append(r.data, '\n')
			}
			if filled = true; len(r.data)+len(value) > MaxLineBytes {
				return Event{}, ErrTooLong
			}
			r.data = append(r.data, value...)
		}
	}
}

// readLine returns the next line without its end. With io.EOF it is what there is of one.
func (r *Reader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		if len(r.line)+len(part) > MaxLineBytes {
			return nil, ErrTooLong
		}
		r.line = append(r.line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return r.line, err
		case err != nil:
			return nil, fmt.Errorf("read stream: %w", err)
		default:
			return bytes.TrimSuffix(r.line[:len(r.line)-1], []byte("\r")), nil
		}
	}
}
