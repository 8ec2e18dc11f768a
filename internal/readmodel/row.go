package readmodel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"cartd/internal/grain"
)

// Class is what decides how long a cart may rest before it is swept.
type Class byte

// The classes.
const (
	Empty Class = iota // no lines
	Guest              // bound to no user
	User
	Unsettled // waits for other grains
	Kept      // does not expire, because another service has changed it last
)

// ClassOf returns the cart's class.
func ClassOf(s *grain.Summary) Class {
	switch {
	case s.Unsettled:
		return Unsettled
	case s.Foreign:
		return Kept
	case s.Lines == 0:
		return Empty
	case s.UserID == "":
		return Guest
	}
	return User
}

var errRow = errors.New("row does not check out")

// encodeRow appends the row of a cart to dst:
//
//	8 bytes   version
//	2 × 8     times of creation and of the last change, Unix milliseconds
//	8 bytes   total
//	8 bytes   when the checkout ends, Unix milliseconds; 0 if there is none
//	4 bytes   lines
//	1 byte    1 if it is unsettled, and 2 if it is foreign
//	3 texts   status, currency, user: a length in 2 bytes, and the text
//
// Numbers are big-endian.
func encodeRow(dst []byte, s *grain.Summary) []byte {
	for _, n := range [...]uint64{s.Version, uint64(s.Created.UnixMilli()), uint64(s.Updated.UnixMilli()), uint64(s.Total)} {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	until, flags := uint64(0), byte(0)
	if !s.CheckoutUntil.IsZero() {
		until = uint64(s.CheckoutUntil.UnixMilli())
	}
	if s.Unsettled {
		flags |= rowUnsettled
	}
	if s.Foreign {
		flags |= rowForeign
	}
	dst = binary.BigEndian.AppendUint64(dst, until)
	dst = append(binary.BigEndian.AppendUint32(dst, uint32(s.Lines)), flags)
	for _, text := range [...]string{string(s.Status), s.Currency, s.UserID} { // bounded by the grain's limits
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(text)))
		dst = append(dst, text...)
	}
	return dst
}

const (
	rowHead = 5*8 + 4 + 1

	rowUnsettled, rowForeign = 1, 2
)

// decodeRow reads what encodeRow has written. It keeps nothing of b.
func decodeRow(id string, b []byte) (grain.Summary, error) {
	if len(b) < rowHead {
		return grain.Summary{}, fmt.Errorf("%w: %d bytes", errRow, len(b))
	}
	s := grain.Summary{ID: id, Version: binary.BigEndian.Uint64(b),
		Created: time.UnixMilli(int64(binary.BigEndian.Uint64(b[8:]))).UTC(), Updated: time.UnixMilli(int64(binary.BigEndian.Uint64(b[16:]))).UTC(),
		Total: int64(binary.BigEndian.Uint64(b[24:])), Lines: int(binary.BigEndian.Uint32(b[40:])), Unsettled: b[44]&rowUnsettled != 0, Foreign: b[44]&rowForeign != 0}
	if until := binary.BigEndian.Uint64(b[32:]); until != 0 {
		s.CheckoutUntil = time.UnixMilli(int64(until)).UTC()
	}
	if b[44] > rowUnsettled|rowForeign || s.CheckoutUntil.IsZero() != (binary.BigEndian.Uint64(b[32:]) == 0) {
		return grain.Summary{}, fmt.Errorf("%w: its flags", errRow)
	}
	var status string
	b = b[rowHead:]
	for _, text := range [...]*string{&status, &s.Currency, &s.UserID} {
		if len(b) < 2 || len(b)-2 < int(binary.BigEndian.Uint16(b)) {
			return grain.Summary{}, fmt.Errorf("%w: its texts", errRow)
		}
		n := 2 + int(binary.BigEndian.Uint16(b))
		*text = string(b[2:n])
		b = b[n:]
	}
	if len(b) > 0 {
		return grain.Summary{}, fmt.Errorf("%w: %d bytes too many", errRow, len(b))
	}
	s.Status = grain.Status(status)
	return s, nil
}

// The keys of the indexes. Neither a status nor a user holds a NUL.

func statusKey(s *grain.Summary) []byte { return append(prefix(string(s.Status)), s.ID...) }

func userKey(s *grain.Summary) []byte { return append(prefix(s.UserID), s.ID...) }

func ageKey(s *grain.Summary) []byte {
	return append(agePrefix(s.Status, ClassOf(s), restsFrom(s)), s.ID...)
}

// restsFrom is when the cart was changed last, or, in checkout, when that ends.
func restsFrom(s *grain.Summary) time.Time {
	if s.CheckoutUntil.IsZero() {
		return s.Updated
	}
	return s.CheckoutUntil
}

// agePrefix is what the keys of the carts of a status and a class begin with that rest from t on.
func agePrefix(status grain.Status, class Class, t time.Time) []byte {
	k := append(prefix(string(status)), byte(class))
	return binary.BigEndian.AppendUint64(k, uint64(max(0, t.UnixMilli())))
}

func prefix(text string) []byte { return append([]byte(text), 0) }
