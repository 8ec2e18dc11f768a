package oplog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// Query reads what is stored. It looks at 100,000 operations at most. See [Store].
func (f *Files) Query(ctx context.Context, q Query) (Page, error) {
	names, _, err := f.names()
	if err != nil {
		return Page{}, err
	}
	if !q.Tail {
		return f.forward(ctx, &q, names)
	}
	var ops []Operation
	scan := scanLines
	for i := len(names) - 1; i >= 0 && len(ops) < q.Limit && scan > 0; i-- {
		if first, _ := firstSeq(names[i]); q.Before != 0 && first >= q.Before {
			continue
		}
		var of []Operation
		err := f.read(ctx, names[i], func(o *Operation) bool {
			scan--
			if q.Selects(o) {
				if of = append(of, *o); len(of) > 2*q.Limit {
					of = slices.Delete(of, 0, len(of)-q.Limit)
				}
			}
			return true
		})
		if err != nil {
			return Page{}, err
		}
		ops = append(of, ops...)
	}
	page := Page{Operations: ops[max(0, len(ops)-q.Limit):]}
	if len(ops) > 0 {
		page.Next = ops[len(ops)-1].Seq
	}
	return page, nil
}

// forward reads from the first operation on that q selects.
func (f *Files) forward(ctx context.Context, q *Query, names []string) (Page, error) {
	page := Page{Next: q.After}
	scan := scanLines
	full := false
	for i, name := range names {
		if i+1 < len(names) {
			if next, _ := firstSeq(names[i+1]); next <= q.After+1 {
				continue
			}
		}
		err := f.read(ctx, name, func(o *Operation) bool {
			if o.Seq <= q.After {
				return true
			}
			end := q.Before != 0 && o.Seq >= q.Before
			if full = !end && (len(page.Operations) == q.Limit || scan == 0); end || full {
				return false
			}
			scan--
			page.Next = o.Seq
			if q.Selects(o) {
				page.Operations = append(page.Operations, *o)
			}
			return true
		})
		if err != nil || full {
			return page, err
		}
	}
	if q.Before != 0 { // all of it was looked at
		page.Next = max(page.Next, q.Before-1)
	}
	return page, nil
}

// read calls yield for each operation in a file, until it returns false.
func (f *Files) read(ctx context.Context, name string, yield func(*Operation) bool) error {
	file, err := f.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) && strings.HasSuffix(name, liveSuffix) {
		name = twin(name) // since the names were read
		file, err = f.root.Open(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it was the oldest
	}
	if err != nil {
		return err
	}
	defer file.Close()
	var from io.Reader = file
	if strings.HasSuffix(name, oldSuffix) {
		z, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return err
		}
		defer z.Close()
		from = z
	}
	lines := bufio.NewReaderSize(from, lineBytes)
	for seen := uint64(0); ; {
		text, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // no line of ours
			text = nil
			_, err = lines.ReadSlice('\n')
		}
		if err != nil {
			if failed, ok := errors.AsType[*fs.PathError](err); ok {
				return failed
			}
			return nil // a line without an end is being written, or was cut off; so was a compressed file that does not check out
		}
		var o Operation
		if json.Unmarshal(text, &o) != nil || o.Seq <= seen {
			continue
		}
		seen = o.Seq
		if !yield(&o) {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
