package actor

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sort"
)

// keyring knows the idempotency keys that a grain has seen, for ever, and the request that came with each. The ones
// from a snapshot stay as they were stored: a search in them costs less than to make a map of them at each activation.
// The zero value is empty.
type keyring struct {
	sorted []byte // 24 bytes each, ascending: 16 of the key's hash, 8 of the request's; read-only
	recent map[keyHash]uint64
}

type keyHash [16]byte

const keyBytes = 16 + 8

// hashKey shortens key: the first 16 bytes of SHA-256 are enough for no two to meet (2^64 keys in one cart).
func hashKey(key string) keyHash {
	sum := sha256.Sum256([]byte(key))
	return keyHash(sum[:16])
}

func (k *keyring) len() int { return len(k.sorted)/keyBytes + len(k.recent) }

// find returns the request that came with key.
func (k *keyring) find(key string) (request uint64, ok bool) {
	if k.len() == 0 {
		return 0, false
	}
	h := hashKey(key)
	if request, ok := k.recent[h]; ok {
		return request, true
	}
	return k.stored(h)
}

func (k *keyring) stored(h keyHash) (request uint64, ok bool) {
	n := len(k.sorted) / keyBytes
	i, ok := sort.Find(n, func(i int) int { return bytes.Compare(h[:], k.sorted[i*keyBytes:i*keyBytes+len(h)]) })
	if !ok {
		return 0, false
	}
	return binary.LittleEndian.Uint64(k.sorted[i*keyBytes+len(h):]), true
}

// add remembers key.
func (k *keyring) add(key string, request uint64) {
	if k.recent == nil {
		k.recent = make(map[keyHash]uint64)
	}
	k.recent[hashKey(key)] = request
}

// settle moves all keys to sorted, a new one, in time linear in their number as long as few are recent.
func (k *keyring) settle() {
	if len(k.recent) == 0 {
		return
	}
	recent := make([]byte, 0, len(k.recent)*keyBytes)
	hashes := make([]keyHash, 0, len(k.recent))
	for h := range k.recent {
		hashes = append(hashes, h)
	}
	slices.SortFunc(hashes, func(a, b keyHash) int { return bytes.Compare(a[:], b[:]) })
	for _, h := range hashes {
		recent = append(recent, h[:]...)
		recent = binary.LittleEndian.AppendUint64(recent, k.recent[h])
	}
	merged := make([]byte, 0, len(k.sorted)+len(recent))
	for old := k.sorted; len(old) > 0 || len(recent) > 0; {
		from := &old
		if len(old) == 0 || len(recent) > 0 && bytes.Compare(recent[:16], old[:16]) <= 0 {
			if len(old) > 0 && bytes.Equal(recent[:16], old[:16]) {
				old = old[keyBytes:] // a log can hold a key twice; the later one counts, as in a replay
			}
			from = &recent
		}
		merged = append(merged, (*from)[:keyBytes]...)
		*from = (*from)[keyBytes:]
	}
	k.sorted, k.recent = merged, nil
}
