package filelog

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"cartd/internal/eventlog"

	"github.com/google/uuid"
)

// ErrNewerFormat means that a log holds lines of a format that this program does not know: a newer one has written
// them. They are not skipped, because what they say is not damage.
var ErrNewerFormat = errors.New("line has a newer format than this program knows")

// errDamaged means that a line does not check out.
var errDamaged = errors.New("damaged line")

// decoder turns lines into events. It keeps the few type and branch names that a stream has, so that not every line
// costs an allocation for each. The zero value is ready.
type decoder struct {
	names map[string]string
}

// maxNames bounds what a decoder remembers of a hostile file.
const maxNames = 64

// decode reads a line without its newline. ev.Payload points into line. A line that decodes is, byte for byte, what
// appendLine writes for the event, unless it is one of the service before cartd: those have Version 0 here, as
// their place in the file is their version. The error wraps errDamaged or ErrNewerFormat.
func (d *decoder) decode(line []byte, ev *eventlog.Event) error {
	body, ok := checksummed(line)
	if !ok {
		return decodeLegacy(line, ev)
	}
	p := parser{rest: body}
	p.lit(`{"v":`)
	if v := p.uint(); !p.bad && v > formatVersion {
		return fmt.Errorf("%w: v is %d, want at most %d", ErrNewerFormat, v, formatVersion)
	} else if v != formatVersion {
		p.bad = true
	}
	*ev = eventlog.Event{}
	if p.opt(`,"pos":`) {
		ev.Position = p.positive()
	}
	p.lit(`,"seq":`)
	ev.Version = p.positive()
	if p.opt(`,"branch":`) {
		ev.Branch = d.name(p.text())
		p.bad = p.bad || !eventlog.ValidName(ev.Branch)
	}
	p.lit(`,"id":"`)
	ev.ID = p.uuid()
	p.lit(`"`)
	if p.opt(`,"key":`) {
		key := p.text()
		p.bad = p.bad || len(key) == 0 || len(key) > eventlog.MaxKeyBytes
		ev.Key = string(key)
	}
	if p.opt(`,"req":"`) {
		ev.Request = p.hex64()
		p.bad = p.bad || ev.Request == 0
		p.lit(`"`)
	}
	ev.More = p.opt(`,"more":1`)
	p.lit(`,"epoch":`)
	ev.Epoch = p.uint()
	p.lit(`,"ts":"`)
	ev.Time = p.time()
	p.lit(`","type":`)
	typ := p.text()
	p.bad = p.bad || len(typ) == 0 || len(typ) > eventlog.MaxTypeBytes
	ev.Type = d.name(typ)
	p.lit(`,"payload":`)
	ev.Payload = p.rest
	if p.bad {
		return fmt.Errorf("%w: checksum is right, fields are not", errDamaged)
	}
	if err := eventlog.CheckPayload(ev.Payload); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}

// checksummed returns what stands before the checksum of a line that has one; ok is true when it fits.
func checksummed(line []byte) (body []byte, ok bool) {
	n := len(line) - crcSuffix
	if n < 0 {
		return nil, false
	}
	suffix := line[n:]
	if string(suffix[:len(crcField)]) != crcField || string(suffix[crcSuffix-len(crcEnd):]) != crcEnd {
		return nil, false
	}
	want, ok := parseHex(suffix[len(crcField) : len(crcField)+8])
	return line[:n], ok && want == uint64(crc32.Checksum(line[:n], castagnoli))
}

// name returns b as a string, the same one for the same bytes.
func (d *decoder) name(b []byte) string {
	if s, ok := d.names[string(b)]; ok {
		return s
	}
	s := string(b)
	if d.names == nil {
		d.names = make(map[string]string)
	}
	if len(d.names) < maxNames {
		d.names[s] = s
	}
	return s
}

// decodeLegacy reads a line of the service before cartd: exactly ts, Unix seconds as an integer, type and payload.
// A line of our own whose checksum was hit has more fields, so it is never taken for one.
func decodeLegacy(line []byte, ev *eventlog.Event) error {
	if !bytes.HasPrefix(line, []byte(`{`)) {
		return fmt.Errorf("%w: neither checksum nor object", errDamaged)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return fmt.Errorf("%w: checksum is wrong or missing: %w", errDamaged, err)
	}
	ts, typ, payload := fields["ts"], fields["type"], fields["payload"]
	if len(fields) != 3 || ts == nil || typ == nil || payload == nil {
		return fmt.Errorf("%w: checksum is wrong or missing", errDamaged)
	}
	*ev = eventlog.Event{}
	secs, err := strconv.ParseUint(string(ts), 10, 64)
	if err != nil || secs > math.MaxInt64 || time.Unix(int64(secs), 0).UTC().Year() > 9999 {
		return fmt.Errorf("%w: ts %.40q is no number of Unix seconds", errDamaged, ts)
	}
	ev.Time = time.Unix(int64(secs), 0).UTC()
	if err := json.Unmarshal(typ, &ev.Type); err != nil || ev.Type == "" || len(ev.Type) > eventlog.MaxTypeBytes {
		return fmt.Errorf("%w: type %.200q", errDamaged, typ)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, payload); err != nil {
		return fmt.Errorf("%w: payload: %w", errDamaged, err)
	}
	ev.Payload = compact.Bytes()
	if err := eventlog.CheckPayload(ev.Payload); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}

// parser reads the fields of a line from the front. Once bad it stays so, and gives zero values.
type parser struct {
	rest []byte
	bad  bool
}

// lit takes s, which has to be there.
func (p *parser) lit(s string) {
	if !p.opt(s) {
		p.bad = true
	}
}

// opt takes s if it is there.
func (p *parser) opt(s string) bool {
	if len(p.rest) < len(s) || string(p.rest[:len(s)]) != s {
		return false
	}
	p.rest = p.rest[len(s):]
	return true
}

// take returns the next n bytes.
func (p *parser) take(n int) []byte {
	if len(p.rest) < n {
		p.bad = true
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

// uint takes a number as strconv writes it: no sign, no leading zero.
func (p *parser) uint() uint64 {
	var n uint64
	i := 0
	for ; i < len(p.rest) && '0' <= p.rest[i] && p.rest[i] <= '9'; i++ {
		digit := uint64(p.rest[i] - '0')
		if n > (math.MaxUint64-digit)/10 {
			p.bad = true
			return 0
		}
		n = n*10 + digit
	}
	if i == 0 || i > 1 && p.rest[0] == '0' {
		p.bad = true
		return 0
	}
	p.rest = p.rest[i:]
	return n
}

func (p *parser) positive() uint64 {
	n := p.uint()
	p.bad = p.bad || n == 0
	return n
}

// text takes a JSON string as appendString writes it.
func (p *parser) text() []byte {
	if !p.opt(`"`) {
		p.bad = true
		return nil
	}
	plain := true
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			raw := p.rest[:i]
			if !plain {
				return p.unescape(i)
			}
			p.rest = p.rest[i+1:]
			return raw
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			p.bad = true
			return nil
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	p.bad = true
	return nil
}

// unescape takes a string of n bytes with escapes or beyond ASCII. What appendString would write otherwise is
// refused, so that there is one line for one event.
func (p *parser) unescape(n int) []byte {
	quoted := append(append([]byte{'"'}, p.rest[:n]...), '"')
	var s string
	if json.Unmarshal(quoted, &s) != nil || !bytes.Equal(appendString(nil, s), quoted) {
		p.bad = true
		return nil
	}
	p.rest = p.rest[n+1:]
	return []byte(s)
}

func (p *parser) hex64() uint64 {
	n, ok := parseHex(p.take(16))
	p.bad = p.bad || !ok
	return n
}

// uuid takes an id other than zero in its usual form, lower case.
func (p *parser) uuid() uuid.UUID {
	var id uuid.UUID
	b := p.take(36)
	if b == nil {
		return id
	}
	var digits [32]byte
	n := 0
	for i, c := range b {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			p.bad = p.bad || c != '-'
		case '0' <= c && c <= '9' || 'a' <= c && c <= 'f':
			digits[n] = c
			n++
		default:
			p.bad = true
			return id
		}
	}
	if _, err := hex.Decode(id[:], digits[:]); err != nil || id == uuid.Nil {
		p.bad = true
	}
	return id
}

// time takes a time in timeLayout. time.Parse would do, at four times the price.
func (p *parser) time() time.Time {
	b := p.take(len(timeLayout))
	if b == nil {
		return time.Time{}
	}
	ok := b[4] == '-' && b[7] == '-' && b[10] == 'T' && b[13] == ':' && b[16] == ':' && b[19] == '.' && b[23] == 'Z'
	num := func(from, to int) int {
		n := 0
		for _, c := range b[from:to] {
			ok = ok && '0' <= c && c <= '9'
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := num(0, 4), num(5, 7), num(8, 10)
	hour, minute, sec, ms := num(11, 13), num(14, 16), num(17, 19), num(20, 23)
	if !ok || hour > 23 || minute > 59 || sec > 59 {
		p.bad = true
		return time.Time{}
	}
	t := time.Date(year, time.Month(month), day, hour, minute, sec, ms*int(time.Millisecond), time.UTC)
	if y, m, d := t.Date(); y != year || int(m) != month || d != day { // 30 February and the like
		p.bad = true
	}
	return t
}

// parseHex reads lower-case hex digits, at most 16.
func parseHex(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | uint64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | uint64(c-'a'+10)
		default:
			return 0, false
		}
	}
	return n, len(b) > 0
}
