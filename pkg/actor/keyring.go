package actor

import (
	"crypto/sha256"

	"cartd/internal/idmap"
)

// keyring knows the idempotency keys that a grain has seen, for ever, and the request that came with each. Of a key it
// keeps the first 16 bytes of SHA-256, which are enough for no two to meet (2^64 keys in one grain). The zero value is
// empty.
type keyring struct{ ids idmap.Map[[1]uint64] }

func hashKey(key string) idmap.ID {
	sum := sha256.Sum256([]byte(key))
	return idmap.ID(sum[:16])
}

// find returns the request that came with key.
func (k *keyring) find(key string) (request uint64, ok bool) {
	v, ok := k.ids.Get(hashKey(key))
	return v[0], ok
}

// add remembers key. A log can hold one twice; the later one counts.
func (k *keyring) add(key string, request uint64) { k.ids.Set(hashKey(key), [1]uint64{request}) }
