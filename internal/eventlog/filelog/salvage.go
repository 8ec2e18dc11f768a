package filelog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"cartd/internal/eventlog/filelog/vfs"

	"github.com/klauspost/compress/zstd"
)

// unseal writes all that can be read of a stream's log to the file to, and returns the paths of its sealed parts. Where
// something of a part, or the file behind them, is missing, stands a blank line, which is damage. What it writes need
// not be on stable storage: what is made of it will be.
func (r *repairer) unseal(path, to string) (parts []string, err error) {
	maxLine := r.look.opts.MaxLineBytes
	h, err := openParts(r.tree, path, r.look.beside[path].sealed, maxLine)
	if err != nil {
		return nil, err
	}
	defer h.Close() // only read
	for _, p := range h.sealed {
		parts = append(parts, p.path)
	}
	parts = append(parts, h.unforced...)
	if len(parts) == 0 {
		return nil, nil
	}
	f, err := r.tree.Create(to)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(0); err != nil {
		return nil, err
	}
	end := int64(0)
	for _, p := range h.sealed {
		n, bad, err := p.salvage(f, end)
		if err != nil {
			return nil, err
		}
		ending, err := p.ending(f, end, end+n, bad, maxLine)
		if err != nil {
			return nil, err
		}
		if _, err := f.WriteAt([]byte(ending), end+n); err != nil {
			return nil, err
		}
		end += n + int64(len(ending))
	}
	var rest io.Reader = strings.NewReader(blankLine)
	switch {
	case h.live != nil:
		rest = io.NewSectionReader(h.live, 0, h.size)
	case h.archived:
		rest = strings.NewReader("") // nothing follows an archive
	}
	_, err = io.Copy(io.NewOffsetWriter(f, end), rest)
	return parts, err
}

const blankLine = " \n"

// zstdMagic begins the frame behind a label, in which it cannot stand: that is text.
var zstdMagic = []byte{0x28, 0xB5, 0x2F, 0xFD}

// salvage writes the lines of a part to f at off as far as they can be decompressed, whatever its label says, and even if
// they are not what was compressed: most lines know their own checksum. bad says why they are not known to be right.
func (p *sealedPart) salvage(f io.WriterAt, off int64) (n int64, bad, err error) {
	if p.file == nil {
		return 0, p.bad, nil
	}
	head := make([]byte, 8+maxLabelBytes+len(zstdMagic))
	got, err := p.file.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, err
	}
	at := bytes.Index(head[:got], zstdMagic)
	if at < 0 {
		return 0, fmt.Errorf("%w: it has no frame", errSealed), nil
	}
	for _, ignore := range []bool{false, true} {
		dec, err := newSealedDecoder(p.file, int64(at), p.bytes, zstd.IgnoreChecksum(ignore))
		if err != nil {
			return 0, nil, err
		}
		src := &badReader{r: io.LimitReader(dec, maxSealed)}
		n, err = io.Copy(io.NewOffsetWriter(f, off), src)
		dec.Close()
		bad = cmp.Or(bad, src.bad)
		if bad == nil || err != nil {
			return n, nil, err
		}
	}
	return n, bad, nil
}

// badReader takes an error of r for its end, so that a writer's is told from it.
type badReader struct {
	r   io.Reader
	bad error
}

func (b *badReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.bad, err = err, io.EOF
	}
	return n, err
}

// ending returns what has to follow the bytes from start to end of f, which could be read of the part: nothing if they
// are all lines of it. If they did not check out as a whole, each line has to by itself.
func (p *sealedPart) ending(f vfs.File, start, end int64, bad error, maxLine int) (string, error) {
	lines, sound := uint64(0), true
	for r := newLineReaderAt(io.NewSectionReader(f, start, end-start), start, end, maxLine); ; {
		line, err := r.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		if !line.whole {
			return "\n", nil // half a line is damage already
		}
		lines++
		_, ok := checksummed(line.text)
		sound = sound && ok
	}
	labelled := p.bad == nil
	if bad != nil && !(labelled && sound) || labelled && lines < p.Lines {
		return blankLine, nil
	}
	return "", nil
}

// newSealedDecoder decompresses the frame that begins at byte at of a file of size bytes.
func newSealedDecoder(f io.ReaderAt, at, size int64, more ...zstd.DOption) (*zstd.Decoder, error) {
	opts := append(more, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20))
	return zstd.NewReader(io.NewSectionReader(f, at, size-at), opts...)
}
