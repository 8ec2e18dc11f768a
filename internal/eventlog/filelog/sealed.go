package filelog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"cartd/internal/eventlog"

	"github.com/klauspost/compress/zstd"
)

// A sealed part is a prefix of a stream's log that was compressed: <id>.events.000001.log.zst, then 000002 and so on.
// Together with the stream's file behind them they are the log, byte for byte. zstdcat shows one:
//
//	4 bytes   0x184D2A5C, the magic number of a frame that decoders of zstd skip (RFC 8878, section 3.1.2)
//	4 bytes   length of the next part, little-endian
//	…         a label: one line of JSON with a checksum, as the lines of a log have
//	rest      one frame of zstd with content size and checksum: the lines
const (
	labelMagic    = 0x184D2A5C
	maxLabelBytes = 4096
	maxSealed     = 4 << 30 // bytes of lines: far beyond a stream of a million events
	sealedVersion = 1
)

// label says what is in a sealed part.
type label struct {
	Version int    `json:"v"`
	Offset  int64  `json:"offset"` // of the part in the log, in bytes
	Bytes   int64  `json:"bytes"`  // of the part's lines
	Lines   uint64 `json:"lines"`
	Last    line32 `json:"last"` // the part's last line
	// Next is the position of the line that follows the part. A stream's file that begins with an earlier one was
	// not cut yet when the process that sealed the part ended: the part is not in force then.
	Next uint64 `json:"next"`
	// End is the position of the last line, in an archive, which nothing follows.
	End uint64 `json:"end,omitzero"`
}

// line32 recognises a line: its length without the newline, and the CRC-32C of that.
type line32 struct {
	Bytes int    `json:"bytes"`
	CRC   uint32 `json:"crc32c"`
}

func line32Of(line []byte) line32 { return line32{len(line), crc32.Checksum(line, castagnoli)} }

// errSealed means that a sealed part cannot be read.
var errSealed = fmt.Errorf("%w: sealed part does not check out", eventlog.ErrCorrupt)

// sealedPath returns the path of the nth sealed part of the stream whose file is at path.
func sealedPath(path string, n int) string {
	return fmt.Sprintf("%s.events.%06d.log.zst", strings.TrimSuffix(path, logSuffix), n)
}

func appendLabel(dst []byte, l *label) ([]byte, error) {
	text, err := json.Marshal(l)
	if err != nil {
		return dst, err
	}
	text = appendSum(bytes.TrimSuffix(text, []byte("}")), 0)
	dst = binary.LittleEndian.AppendUint32(dst, labelMagic)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(text)))
	return append(dst, text...), nil
}

// readLabel reads the label that f begins with, and returns where the lines' frame is.
func readLabel(f io.ReaderAt) (l label, end int64, err error) {
	head := make([]byte, 8+maxLabelBytes)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return l, 0, err
	}
	head = head[:n]
	if n < 8 || binary.LittleEndian.Uint32(head) != labelMagic {
		return l, 0, fmt.Errorf("%w: it has no label", errSealed)
	}
	size := binary.LittleEndian.Uint32(head[4:])
	if uint64(size) > uint64(n-8) {
		return l, 0, fmt.Errorf("%w: its label is cut", errSealed)
	}
	body, ok := checksummed(bytes.TrimSuffix(head[8:8+size], []byte("\n")))
	if !ok {
		return l, 0, fmt.Errorf("%w: the checksum of its label", errSealed)
	}
	if err := json.Unmarshal(append(bytes.Clone(body), '}'), &l); err != nil || l.Version < 1 || l.Offset < 0 || l.Bytes < 0 || l.Bytes > maxSealed {
		return l, 0, fmt.Errorf("%w: its label", errSealed)
	}
	if l.Version > sealedVersion {
		return l, 0, fmt.Errorf("sealed part: %w", ErrNewerFormat)
	}
	return l, 8 + int64(size), nil
}

// writeSealed compresses the lines that r gives to w, behind their label.
func writeSealed(w io.Writer, l *label, r io.Reader) error {
	head, err := appendLabel(nil, l)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	enc.ResetContentSize(w, l.Bytes)
	if _, err := io.Copy(enc, r); err != nil {
		return errors.Join(err, enc.Close())
	}
	return enc.Close()
}

// sealedReader gives the lines of a sealed part: exactly as many bytes as its label says. Where they cannot be
// decompressed it goes on with blanks up to a newline: a line that does not check out.
type sealedReader struct {
	dec  *zstd.Decoder
	left int64
	bad  error // why the rest is blank
}

func openSealed(f io.ReaderAt, size int64) (label, *sealedReader, error) {
	l, at, err := readLabel(f)
	if err != nil {
		return l, nil, err
	}
	dec, err := newSealedDecoder(f, at, size)
	if err != nil {
		return l, nil, err
	}
	return l, &sealedReader{dec: dec, left: l.Bytes}, nil
}

func (r *sealedReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		if r.bad == nil {
			r.bad = r.atEnd()
		}
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.left)]
	n := 0
	if r.bad == nil {
		var err error
		n, err = r.dec.Read(p)
		if err != nil && int64(n) < r.left {
			r.bad = fmt.Errorf("%w: %w", errSealed, err)
		}
		r.left -= int64(n)
		return n, nil
	}
	for n = range p {
		p[n] = ' '
	}
	if r.left -= int64(len(p)); r.left == 0 {
		p[len(p)-1] = '\n'
	}
	return len(p), nil
}

// atEnd returns an error if something follows the lines, or their checksum is not right.
func (r *sealedReader) atEnd() error {
	var more [1]byte
	switch n, err := r.dec.Read(more[:]); {
	case n > 0:
		return fmt.Errorf("%w: it has more than its label says", errSealed)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %w", errSealed, err)
	}
	return nil
}
