package load

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxRecordBytes bounds one record of the file. Without it a single unclosed quote would make encoding/csv
// hold the rest of the file in memory.
const maxRecordBytes = 64 << 10

// readAhead is what may be read beyond the record that is being read.
const readAhead = 16 << 10

// errRecordTooLong is what a reader meets when a record does not end within maxRecordBytes.
var errRecordTooLong = errors.New("longer than 64 KiB: is a quote not closed?")

// columns that a file must have, in the order in which the chain hash takes their fields.
var columns = [...]string{"InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"}

// row is one record of the file, its fields as they stand there.
type row struct {
	line   int      // of the file, where the record begins; the header is line 1
	number int64    // among the rows; the first after the header is 1
	chain  [16]byte // of the chain hash; see the package comment

	invoice, stockCode, description, quantity, unitPrice string
}

// key returns the row's Idempotency-Key.
func (r row) key() string {
	b := make([]byte, 0, 64)
	b = append(b, "csv1-"...)
	b = strconv.AppendInt(b, r.number, 10)
	b = append(b, '-')
	return string(hex.AppendEncode(b, r.chain[:]))
}

// reader reads rows one after the other. Its memory is bounded by maxRecordBytes.
type reader struct {
	limit  *recordLimiter
	csv    *csv.Reader
	at     [len(columns)]int // index of each of columns in a record
	line   int               // where the last record began; 1 is the header
	number int64
	chain  [sha256.Size]byte
	buf    []byte // reused for hashing
}

// newReader returns a reader of the rows after r's header, which is read and checked here. An error names
// the line.
func newReader(r io.Reader) (*reader, error) {
	limit := &recordLimiter{r: r, left: maxRecordBytes + readAhead}
	rd := &reader{limit: limit, csv: csv.NewReader(bufio.NewReaderSize(limit, readAhead))}
	rd.csv.ReuseRecord = true
	rd.line = 1
	header, err := rd.csv.Read()
	if err == io.EOF {
		return nil, errors.New("line 1: no header, the file is empty")
	}
	if err != nil {
		return nil, rd.fault(err)
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff") // a byte order mark, as spreadsheets write it
	for i, name := range columns {
		rd.at[i] = slices.Index(header, name)
		if rd.at[i] < 0 {
			return nil, fmt.Errorf("line 1: no column %s", name)
		}
		if slices.Contains(header[rd.at[i]+1:], name) {
			return nil, fmt.Errorf("line 1: column %s is there twice", name)
		}
	}
	return rd, nil
}

// next returns the following row, or io.EOF after the last. Any other error names the line, and the reader
// is of no more use.
func (rd *reader) next() (row, error) {
	before := rd.csv.InputOffset()
	rd.limit.left = maxRecordBytes + readAhead
	record, err := rd.csv.Read()
	if err == io.EOF {
		return row{}, io.EOF
	}
	if err != nil {
		return row{}, rd.fault(err)
	}
	// The limiter alone would let a record pass or not depending on where in the read-ahead it begins.
	if rd.csv.InputOffset()-before > maxRecordBytes {
		return row{}, rd.fault(errRecordTooLong)
	}
	rd.line, _ = rd.csv.FieldPos(0)
	rd.number++
	rd.buf = append(rd.buf[:0], rd.chain[:]...)
	for _, i := range rd.at {
		rd.buf = binary.AppendUvarint(rd.buf, uint64(len(record[i])))
		rd.buf = append(rd.buf, record[i]...)
	}
	rd.chain = sha256.Sum256(rd.buf)
	return row{
		line: rd.line, number: rd.number, chain: [16]byte(rd.chain[:16]),
		invoice: record[rd.at[0]], stockCode: record[rd.at[1]], description: record[rd.at[2]],
		quantity: record[rd.at[3]], unitPrice: record[rd.at[5]],
	}, nil
}

// fault returns err with the place in the file where it was met.
func (rd *reader) fault(err error) error {
	p, ok := errors.AsType[*csv.ParseError](err)
	switch {
	case !ok: // of the file or the decompression: what it broke is the record after the last good one
		return fmt.Errorf("after line %d: %w", rd.line, err)
	case errors.Is(p.Err, csv.ErrFieldCount):
		return fmt.Errorf("line %d: %w, the header has %d", p.StartLine, p.Err, rd.csv.FieldsPerRecord)
	case p.StartLine != p.Line:
		return fmt.Errorf("line %d (of a row that begins at line %d), column %d: %w", p.Line, p.StartLine, p.Column, p.Err)
	default:
		return fmt.Errorf("line %d, column %d: %w", p.Line, p.Column, p.Err)
	}
}

// recordLimiter hands on r until left is used up.
type recordLimiter struct {
	r    io.Reader
	left int // set anew before each record
}

// Read returns errRecordTooLong when nothing is left.
func (l *recordLimiter) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
