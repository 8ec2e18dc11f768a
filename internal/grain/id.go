package grain

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
)

// CartID names a cart. It is made by [ParseCartID] and [NewCartID] alone, so that it is safe as a file name and in
// a URL; the zero value names no cart.
type CartID string

// crockford is the alphabet of Crockford's base32: no I, L, O or U, which are misread or make words.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

const maxIDBytes = 64

// NewCartID returns an id that cannot be guessed: 128 bits of crypto/rand as 26 characters of Crockford base32.
func NewCartID() CartID {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: it ends the program rather than return weak bytes
	return CartIDOf(random)
}

// CartIDOf returns the id that stands for these 128 bits, which nobody must be able to guess.
func CartIDOf(random [16]byte) CartID {
	hi, lo := binary.BigEndian.Uint64(random[:8]), binary.BigEndian.Uint64(random[8:])
	var id [26]byte
	for i := len(id) - 1; i >= 0; i-- {
		id[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return CartID(id[:])
}

// ParseCartID returns s as an id if it matches [A-Za-z0-9][A-Za-z0-9_-]{0,63}.
func ParseCartID(s string) (CartID, error) {
	if s == "" || len(s) > maxIDBytes {
		return "", fmt.Errorf("cart id of %d bytes: want 1 to %d", len(s), maxIDBytes)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case (c == '_' || c == '-') && i > 0:
		default:
			return "", fmt.Errorf("cart id %q: want letters, digits, _ and -, the first a letter or digit", s)
		}
	}
	return CartID(s), nil
}

// minDistinct is how many different characters an id has at least that looks random.
const minDistinct = 8

// LooksRandom reports whether id could be one of [NewCartID]: 26 characters of Crockford base32 that stand for 128 bits.
// Whether they are random nobody can see; but an id with few different characters, like a number with zeros before it,
// is one that somebody has chosen. Of random ones one in 10^10 is like that.
func (id CartID) LooksRandom() bool {
	if len(id) != 26 || id[0] > '7' {
		return false
	}
	var seen uint32
	for i := range len(id) {
		digit := strings.IndexByte(crockford, id[i])
		if digit < 0 {
			return false
		}
		seen |= 1 << digit
	}
	return bits.OnesCount32(seen) >= minDistinct
}
