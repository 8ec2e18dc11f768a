package subscription

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// MaxDead is how many dead letters are kept for a subscription: the newest.
const MaxDead = 1000

var (
	bucketSubscriptions = []byte("subscriptions")
	bucketDead          = []byte("dead")
)

// record is a subscription as it is stored.
type record struct {
	Name        string    `json:"name"`
	Types       []string  `json:"types,omitempty"`
	Created     time.Time `json:"created"`
	Incarnation string    `json:"incarnation"` // of the log that Position belongs to
	Position    uint64    `json:"position"`
	Missed      uint64    `json:"missed,omitempty"` // events that were not kept until they could be delivered
	URL         string    `json:"url,omitempty"`    // of a webhook; "" without one
	Secret      string    `json:"secret,omitempty"` // of the webhook
	Dead        uint64    `json:"dead,omitempty"`   // dead letters there ever were
}

// DeadLetter says where an event is that a webhook did not take, and why. The event itself is in its cart's log.
type DeadLetter struct {
	Position  uint64    `json:"position"`
	CartID    string    `json:"cartId"`
	Branch    string    `json:"branch"`
	Version   uint64    `json:"version"`
	ID        string    `json:"id"`
	Type      string    `json:"type"`
	Time      time.Time `json:"time"`      // of the event
	FirstTry  time.Time `json:"firstTry"`  // of this process
	GivenUpAt time.Time `json:"givenUpAt"` // when it became a dead letter
	Tries     int       `json:"tries"`
	Error     string    `json:"error"` // of the last try
}

// db is the database. It is made with the first subscription. Safe for concurrent use.
type db struct {
	path string

	mu   sync.Mutex // guards bolt while it is opened
	bolt *bbolt.DB  // nil: there is none yet
}

// open opens the database if it is there.
func (d *db) open() error {
	if _, err := os.Stat(d.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, err := d.made()
	return err
}

// made returns the database, made if need be, with its name on stable storage.
func (d *db) made() (*bbolt.DB, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bolt != nil {
		return d.bolt, nil
	}
	var b *bbolt.DB
	err := guarded(func() (err error) {
		b, err = bbolt.Open(d.path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
		return err
	})
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(filepath.Dir(d.path))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	d.bolt = b
	return b, nil
}

func (d *db) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bolt == nil {
		return nil
	}
	return guarded(d.bolt.Close)
}

// guarded returns what do does. What bbolt makes of a file that makes no sense, a panic or an access of what is not there,
// is an error.
func guarded(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a file that was cut off is shorter than its mapping
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("database does not check out: %v", r)
		}
	}()
	return do()
}

// update runs do in a transaction that is on stable storage when it returns nil.
func (d *db) update(do func(tx *bbolt.Tx) error) error {
	b, err := d.made()
	if err != nil {
		return err
	}
	return guarded(func() error { return b.Update(do) })
}

// view is update for reading; without a database it does nothing.
func (d *db) view(do func(tx *bbolt.Tx) error) error {
	d.mu.Lock()
	b := d.bolt
	d.mu.Unlock()
	if b == nil {
		return nil
	}
	return guarded(func() error { return b.View(do) })
}

// all returns all subscriptions.
func (d *db) all() (all []record, err error) {
	err = d.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketSubscriptions)
		if b == nil {
			return nil
		}
		return b.ForEach(func(name, v []byte) error {
			var r record
			if err := json.Unmarshal(v, &r); err != nil {
				return fmt.Errorf("subscription %q: %w", name, err)
			}
			if r.Name != string(name) {
				return fmt.Errorf("subscription %q is stored as %q", r.Name, name)
			}
			all = append(all, r)
			return nil
		})
	})
	return all, err
}

func putRecord(tx *bbolt.Tx, r *record) error {
	b, err := tx.CreateBucketIfNotExists(bucketSubscriptions)
	if err != nil {
		return err
	}
	v, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return b.Put([]byte(r.Name), v)
}

// put stores a subscription.
func (d *db) put(r *record) error {
	return d.update(func(tx *bbolt.Tx) error { return putRecord(tx, r) })
}

// remove removes a subscription and its dead letters.
func (d *db) remove(name string) error {
	return d.update(func(tx *bbolt.Tx) error {
		if dead := tx.Bucket(bucketDead); dead != nil {
			if err := dead.DeleteBucket([]byte(name)); err != nil && !errors.Is(err, bbolterrors.ErrBucketNotFound) {
				return err
			}
		}
		if b := tx.Bucket(bucketSubscriptions); b != nil {
			return b.Delete([]byte(name))
		}
		return nil
	})
}

// bury stores a dead letter together with its subscription. The oldest make room.
func (d *db) bury(r *record, l *DeadLetter) error {
	return d.update(func(tx *bbolt.Tx) error {
		if err := putRecord(tx, r); err != nil {
			return err
		}
		all, err := tx.CreateBucketIfNotExists(bucketDead)
		if err != nil {
			return err
		}
		b, err := all.CreateBucketIfNotExists([]byte(r.Name))
		if err != nil {
			return err
		}
		v, err := json.Marshal(l)
		if err != nil {
			return err
		}
		if err := b.Put(positionKey(l.Position), v); err != nil {
			return err
		}
		n, c := 0, b.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			n++
		}
		for k, _ := c.First(); k != nil && n > MaxDead; k, _ = c.First() {
			if err := b.Delete(k); err != nil {
				return err
			}
			n--
		}
		return nil
	})
}

// dead returns the dead letters behind a position, by position, limit at the most.
func (d *db) dead(name string, after uint64, limit int) (letters []DeadLetter, err error) {
	err = d.view(func(tx *bbolt.Tx) error {
		all := tx.Bucket(bucketDead)
		if all == nil {
			return nil
		}
		b := all.Bucket([]byte(name))
		if b == nil || after == 1<<64-1 {
			return nil
		}
		c := b.Cursor()
		for k, v := c.Seek(positionKey(after + 1)); k != nil && len(letters) < limit; k, v = c.Next() {
			var l DeadLetter
			if err := json.Unmarshal(v, &l); err != nil {
				return err
			}
			letters = append(letters, l)
		}
		return nil
	})
	return letters, err
}

func positionKey(p uint64) []byte { return binary.BigEndian.AppendUint64(nil, p) }
