package filelog

import (
	"encoding/hex"
	"hash/crc32"
	"strconv"
	"unicode/utf8"

	"cartd/internal/eventlog"
)

// formatVersion is the v of the lines written here. Lines with a larger one are refused.
const formatVersion = 1

// timeLayout is RFC 3339 in UTC with milliseconds, always 24 bytes.
const timeLayout = "2006-01-02T15:04:05.000Z"

// crcField stands before the eight hex digits of the checksum; a line ends with it, them and crcEnd.
const (
	crcField  = `,"crc":"`
	crcEnd    = `"}`
	crcSuffix = len(crcField) + 8 + len(crcEnd)
)

// castagnoli is CRC-32C, which amd64 and arm64 compute in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// lineFrame is the most that appendLine adds to what appendFields gives.
const lineFrame = len(`{"v":1,"pos":18446744073709551615`) + crcSuffix + 1

// appendLine appends a line with its newline to dst: the event's position, left out when 0, the fields that
// appendFields gives, and the checksum.
func appendLine(dst []byte, position uint64, fields []byte) []byte {
	start := len(dst)
	dst = append(dst, `{"v":1`...)
	if position != 0 {
		dst = append(dst, `,"pos":`...)
		dst = strconv.AppendUint(dst, position, 10)
	}
	return appendSum(append(dst, fields...), start)
}

// appendSum ends the line that begins at start with its checksum and a newline.
func appendSum(dst []byte, start int) []byte {
	sum := crc32.Checksum(dst[start:], castagnoli)
	dst = append(dst, crcField...)
	dst = appendHex(dst, uint64(sum), 8)
	return append(dst, crcEnd+"\n"...)
}

// appendFields appends what a line says of ev behind its position to dst. The event has passed eventlog.Commit.Check.
func appendFields(dst []byte, ev *eventlog.Event) []byte {
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendUint(dst, ev.Version, 10)
	if ev.Branch != "" {
		dst = append(dst, `,"branch":`...)
		dst = appendString(dst, ev.Branch)
	}
	dst = append(dst, `,"id":"`...)
	dst = appendUUID(dst, ev.ID)
	dst = append(dst, '"')
	if ev.Key != "" {
		dst = append(dst, `,"key":`...)
		dst = appendString(dst, ev.Key)
	}
	if ev.Request != 0 {
		dst = append(dst, `,"req":"`...)
		dst = appendHex(dst, ev.Request, 16)
		dst = append(dst, '"')
	}
	if ev.More {
		dst = append(dst, `,"more":1`...)
	}
	dst = append(dst, `,"epoch":`...)
	dst = strconv.AppendUint(dst, ev.Epoch, 10)
	dst = append(dst, `,"ts":"`...)
	dst = eventlog.AppendTime(dst, ev.Time)
	dst = append(dst, `","type":`...)
	dst = appendString(dst, ev.Type)
	dst = append(dst, `,"payload":`...)
	return append(dst, ev.Payload...)
}

func appendUUID(dst []byte, id [16]byte) []byte {
	dst = hex.AppendEncode(dst, id[0:4])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, id[4:6])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, id[6:8])
	dst = append(dst, '-')
	dst = hex.AppendEncode(dst, id[8:10])
	dst = append(dst, '-')
	return hex.AppendEncode(dst, id[10:16])
}

const hexDigits = "0123456789abcdef"

// appendHex appends the low digits hex digits of n.
func appendHex(dst []byte, n uint64, digits int) []byte {
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[n>>shift&15])
	}
	return dst
}

// appendString appends s as a JSON string, byte for byte what encoding/json writes without its escapes for HTML:
// what is not UTF-8 becomes U+FFFD, and U+2028 and U+2029, which JavaScript took for line ends, are escaped.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' {
				i++
				continue
			}
			dst = append(dst, s[from:i]...)
			dst = appendEscape(dst, c)
			i++
			from = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(dst, s[from:i]...)
			dst = append(dst, `\ufffd`...)
			from = i + size
		case r == '\u2028' || r == '\u2029':
			dst = append(dst, s[from:i]...)
			dst = append(dst, `\u202`...)
			dst = append(dst, hexDigits[r&15])
			from = i + size
		}
		i += size
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}
