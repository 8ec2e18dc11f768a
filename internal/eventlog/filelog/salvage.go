package filelog

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"cartd/internal/eventlog/filelog/vfs"

	"github.com/klauspost/compress/zstd"
)

// unseal writes all that can be read of a stream's log to the file to. Where something of a sealed part is missing
// stands a blank line, which is damage. It need not be on stable storage: what is made of it will be.
func (r *repairer) unseal(path string, parts []int, to string) (err error) {
	maxLine := r.look.opts.MaxLineBytes
	h, err := openParts(r.tree, path, parts, maxLine)
	if err != nil {
		return err
	}
	defer h.Close() // only read
	f, err := r.tree.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(0); err != nil {
		return err
	}
	end := int64(0)
	for _, p := range h.sealed {
		n, bad, err := p.salvage(io.NewOffsetWriter(f, end))
		if err != nil {
			return err
		}
		ending, err := p.ending(f, end, end+n, bad, maxLine)
		if err != nil {
			return err
		}
		if _, err := f.WriteAt([]byte(ending), end+n); err != nil {
			return err
		}
		end += n + int64(len(ending))
	}
	if h.live == nil {
		return nil
	}
	_, err = io.Copy(io.NewOffsetWriter(f, end), io.NewSectionReader(h.live, 0, h.size))
	return err
}

// zstdMagic begins the frame behind a label, in which it cannot stand: that is text.
var zstdMagic = []byte{0x28, 0xB5, 0x2F, 0xFD}

// salvage writes the lines of a part to w as far as they can be decompressed, whatever its label says. bad says why they
// are not known to be all.
func (p *sealedPart) salvage(w io.Writer) (n int64, bad, err error) {
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
	dec, err := newSealedDecoder(p.file, int64(at), p.bytes)
	if err != nil {
		return 0, nil, err
	}
	defer dec.Close()
	src := &badReader{r: io.LimitReader(dec, maxSealed)}
	n, err = io.Copy(w, src)
	return n, src.bad, err
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
	if bad != nil && !(labelled && sound) || labelled && lines != p.Lines {
		return " \n", nil
	}
	return "", nil
}

// newSealedDecoder decompresses the frame that begins at byte at of a file of size bytes.
func newSealedDecoder(f io.ReaderAt, at, size int64) (*zstd.Decoder, error) {
	return zstd.NewReader(io.NewSectionReader(f, at, size-at), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(64<<20))
}
