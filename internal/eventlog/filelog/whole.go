package filelog

import (
	"bytes"
	"io"
)

// whole is a stream's log as the next start makes it: its history up to the last whole commit, and what the journal has
// behind that.
type whole struct {
	h      *history
	end    int64 // of what is taken from h
	behind []byte
}

// wholeLog returns the log that in has gone through.
func wholeLog(h *history, in *inspector) *whole {
	w := &whole{h: h, end: in.end}
	for _, r := range in.records[in.endAt:] {
		w.behind = append(append(w.behind, r.line...), '\n')
	}
	return w
}

func (w *whole) size() int64 { return w.end + int64(len(w.behind)) }

// reader gives all bytes.
func (w *whole) reader() io.Reader {
	return io.MultiReader(io.LimitReader(w.h.reader(0, w.end, nil), w.end), bytes.NewReader(w.behind))
}

// recognises is that of a history.
func (w *whole) recognises(end int64, last line32) (bool, error) {
	if end <= w.end {
		return w.h.recognises(end, last)
	}
	if end > w.size() {
		return false, nil
	}
	lines := w.behind[:end-w.end]
	text, ok := bytes.CutSuffix(lines, []byte("\n"))
	return ok && line32Of(text[bytes.LastIndexByte(text, '\n')+1:]) == last, nil
}
