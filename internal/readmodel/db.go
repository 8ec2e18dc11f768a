package readmodel

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"time"

	"cartd/internal/grain"

	"go.etcd.io/bbolt"
)

// schema is the version of what is in the database; one of another version is built anew.
const schema = 2

var (
	bucketMeta     = []byte("meta")
	bucketCarts    = []byte("carts")
	bucketStatuses = []byte("statuses")
	bucketUsers    = []byte("users")
	bucketAges     = []byte("ages")

	keyState = []byte("state")
)

// errUnusable means that the database does not check out, and has to be built anew.
var errUnusable = errors.New("read model does not check out")

// state says what the rows are the state of.
type state struct {
	Schema      int    `json:"schema"`
	Incarnation string `json:"incarnation"` // of the log
	Position    uint64 `json:"position"`    // all events up to it are in the rows
	Head        uint64 `json:"head"`        // no event above it is
}

// openDB opens the database at path, made if need be.
func openDB(path string) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o640, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
}

// freshDB opens an empty database at path, in place of one that may be there.
func freshDB(path string) (*bbolt.DB, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return openDB(path)
}

// contained is do, with a panic of bbolt over pages that make no sense, or are not there, as an error.
func contained(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a file that was cut off is shorter than its mapping
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errUnusable, r)
		}
	}()
	return do()
}

// readState returns what the database is the state of; ok is false when it was never built to its end.
func readState(db *bbolt.DB) (s state, ok bool, err error) {
	err = contained(func() error {
		return db.View(func(tx *bbolt.Tx) error {
			meta := tx.Bucket(bucketMeta)
			if meta == nil {
				return nil
			}
			b := meta.Get(keyState)
			ok = b != nil && json.Unmarshal(b, &s) == nil && s.Schema == schema
			return nil
		})
	})
	return s, ok, err
}

// write stores rows, and the state they lead to unless that is nil. Rows that are older than what is there are left out.
func write(db *bbolt.DB, rows []*grain.Summary, s *state) error {
	return contained(func() error {
		return db.Update(func(tx *bbolt.Tx) error {
			w, err := newWriter(tx)
			if err != nil {
				return err
			}
			for _, row := range rows {
				if err := w.put(row); err != nil {
					return fmt.Errorf("cart %s: %w", row.ID, err)
				}
			}
			if s == nil {
				return nil
			}
			b, err := json.Marshal(s)
			if err != nil {
				return err
			}
			return w.meta.Put(keyState, b)
		})
	})
}

// writer changes rows together with the indexes.
type writer struct {
	meta, carts, statuses, users, ages *bbolt.Bucket
}

func newWriter(tx *bbolt.Tx) (w writer, err error) {
	for _, b := range []struct {
		to   **bbolt.Bucket
		name []byte
	}{{&w.meta, bucketMeta}, {&w.carts, bucketCarts}, {&w.statuses, bucketStatuses}, {&w.users, bucketUsers}, {&w.ages, bucketAges}} {
		if *b.to, err = tx.CreateBucketIfNotExists(b.name); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *writer) put(s *grain.Summary) error {
	var statusWas, userWas, ageWas []byte
	if b := w.carts.Get([]byte(s.ID)); b != nil {
		old, err := decodeRow(s.ID, b)
		if err != nil {
			return fmt.Errorf("%w: %w", errUnusable, err)
		}
		if old.Version >= s.Version {
			return nil
		}
		statusWas, ageWas = statusKey(&old), ageKey(&old)
		if old.UserID != "" {
			userWas = userKey(&old)
		}
	}
	var user []byte
	if s.UserID != "" {
		user = userKey(s)
	}
	if err := move(w.statuses, statusWas, statusKey(s)); err != nil {
		return err
	}
	if err := move(w.users, userWas, user); err != nil {
		return err
	}
	if err := move(w.ages, ageWas, ageKey(s)); err != nil {
		return err
	}
	return w.carts.Put([]byte(s.ID), encodeRow(nil, s))
}

// drop deletes the row of a cart, unless it is another than s.
func (w *writer) drop(s *grain.Summary) error {
	b := w.carts.Get([]byte(s.ID))
	if b == nil {
		return nil
	}
	row, err := decodeRow(s.ID, b)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	if row.Version != s.Version {
		return nil
	}
	err = errors.Join(move(w.statuses, statusKey(&row), nil), move(w.ages, ageKey(&row), nil))
	if row.UserID != "" {
		err = errors.Join(err, move(w.users, userKey(&row), nil))
	}
	return errors.Join(err, w.carts.Delete([]byte(s.ID)))
}

// move replaces a key of an index; nil stands for none.
func move(index *bbolt.Bucket, from, to []byte) error {
	if bytes.Equal(from, to) {
		return nil
	}
	if from != nil {
		if err := index.Delete(from); err != nil {
			return err
		}
	}
	if to == nil {
		return nil
	}
	return index.Put(to, []byte{})
}
