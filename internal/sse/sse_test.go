package sse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"cartd/internal/sse"
)

func TestReaderReadsEventsCommentsAndCursors(t *testing.T) {
	const text = "retry: 2000\n\n: ping\n\nid: 4\nevent: AddItem\ndata: {\"a\":1}\n\nid: 9\n\ndata:x\r\ndata: y\r\n\r\nid: 10\nevent: cut"
	r := sse.NewReader(iotest.OneByteReader(strings.NewReader(text)))
	var got []string
	for {
		ev, err := r.Next()
		if err != nil {
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the end is %v, want one within an event", err)
			}
			break
		}
		got = append(got, fmt.Sprintf("%s %s %s", ev.ID, ev.Type, ev.Data))
	}
	if want := []string{`4 AddItem {"a":1}`, "9 message x\ny"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if r.LastID() != "9" {
		t.Errorf("the cursor is %s, want 9: the event 10 did not happen", r.LastID())
	}
	if _, err := sse.NewReader(strings.NewReader("data: x\n\n")).Next(); err != nil {
		t.Error(err)
	}
	if _, err := sse.NewReader(strings.NewReader("")).Next(); err != io.EOF {
		t.Errorf("an empty stream ends with %v, want io.EOF", err)
	}
}

// Logs that were taken over have types that nobody has checked.
func TestTypeEndsNoLine(t *testing.T) {
	r := sse.NewReader(bytes.NewReader(append(sse.AppendType(nil, "Odd\ndata: 1\r\rid: 9"), "data: 2\n\n"...)))
	if ev, err := r.Next(); err != nil || ev.ID != "" || ev.Type != "Odd data: 1  id: 9" || string(ev.Data) != "2" {
		t.Errorf("got %+v with %s, %v", ev, ev.Data, err)
	}
}

func TestReaderTakesNoLineWithoutEnd(t *testing.T) {
	for _, text := range []string{strings.Repeat("x", sse.MaxLineBytes+1), strings.Repeat("data: "+strings.Repeat("x", 1<<20)+"\n", 9)} {
		if _, err := sse.NewReader(strings.NewReader(text)).Next(); !errors.Is(err, sse.ErrTooLong) {
			t.Errorf("got %v, want ErrTooLong", err)
		}
	}
}

// FuzzReader: whatever comes, the reader ends with an error, and what it has told of can be written and read again.
func FuzzReader(f *testing.F) {
	f.Add([]byte("id: 4\nevent: AddItem\ndata: {}\n\n: ping\n\n"))
	f.Add([]byte("data\n\ndata:\n\nid\n\nid: \x00\n\n"))
	f.Add([]byte("event: a\r\ndata: b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := sse.NewReader(bytes.NewReader(b))
		for n := 0; ; n++ {
			ev, err := r.Next()
			if err != nil {
				return
			}
			if n > len(b) {
				t.Fatal("more events than bytes")
			}
			if strings.ContainsAny(ev.ID+ev.Type, "\n") {
				t.Fatalf("event %q %q has a line break", ev.ID, ev.Type)
			}
			if bytes.ContainsAny(ev.Data, "\r\n") || strings.ContainsAny(ev.Type, "\r\x00") {
				continue
			}
			out := append(sse.AppendType(sse.AppendID(sse.AppendComment(nil, "x"), 7), ev.Type), "data: "...)
			out = append(append(out, ev.Data...), "\n\n"...)
			again, err := sse.NewReader(bytes.NewReader(out)).Next()
			if err != nil || again.ID != "7" || again.Type != ev.Type || !bytes.Equal(again.Data, ev.Data) {
				t.Fatalf("%q was read as %+v, %v", out, again, err)
			}
		}
	})
}
