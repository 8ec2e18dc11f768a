package load

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// source is the CSV file, open.
type source struct {
	file    *os.File
	regular bool // it can be read more than once
}

// openSource opens the file; the caller closes it.
func openSource(path string) (*source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a directory", path)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &source{file: f, regular: info.Mode().IsRegular()}, nil
}

// rows returns a reader of the file's rows. A regular file is read from its beginning at each call, a pipe
// can be read once.
func (s *source) rows() (*reader, error) {
	if s.regular {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
	raw := bufio.NewReaderSize(s.file, 64<<10)
	magic, err := raw.Peek(2)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if string(magic) != "\x1f\x8b" { // RFC 1952, 2.3.1
		if strings.HasSuffix(s.file.Name(), ".gz") {
			return nil, errors.New("is no gzip file, though its name ends in .gz")
		}
		return newReader(raw)
	}
	unpacked, err := gzip.NewReader(raw)
	if err != nil {
		return nil, err
	}
	return newReader(unpacked)
}

// check reads a regular file through to its end and returns how many of its rows will be sent, so that a
// broken file is refused before anything is. It returns -1 for a pipe, unread, and ctx's cause when that ends.
func (s *source) check(ctx context.Context) (int64, error) {
	if !s.regular {
		return -1, nil
	}
	rows, err := s.rows()
	if err != nil {
		return 0, err
	}
	var n int64
	for {
		r, err := rows.next()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
		if _, kind := classify(r); kind == kindAccepted {
			n++
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
}
