package readmodel

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"iter"
	"strings"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/grain"

	"go.etcd.io/bbolt"
)

const (
	// listWait is how long List waits for rows that are as new as the call.
	listWait = 2 * time.Second
	// listRows bounds what one call of List looks at.
	listRows = 50_000
	// idleRows is what Idle reads at once.
	idleRows = 256
)

// ErrCursor means that a cursor is none that List has returned.
var ErrCursor = errors.New("cursor was not made here")

// Query selects carts.
type Query struct {
	Status        grain.Status // "": all but those that are gone, deleted or expired
	UserID        string       // "": all
	UpdatedBefore time.Time    // exclusive; zero: no end
	Limit         int          // at most so many carts; must be positive
	Cursor        string       // Page.Next of the page before; "": from the beginning
}

// Page is the answer to a Query.
type Page struct {
	Carts []grain.Summary
	Next  string // "" after the last page
}

// List returns a page of carts, in the order of their ids. A cart that matches as long as somebody goes from page to page
// is on exactly one of them, whatever changes meanwhile. Every cart is at least as new as the answers given before the
// call, unless the model is that much behind that this would take more than two seconds, or nothing may be written to the
// disk. A page may have fewer carts than
// Limit, even none, and a Next: one call looks at 50,000 carts at the most. Errors: ErrCursor, ErrBuilding.
func (m *Model) List(ctx context.Context, q Query) (Page, error) {
	after, err := parseCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	if !m.low() { // nothing is written then
		waiting, cancel := context.WithTimeout(ctx, listWait)
		defer cancel()
		if err := m.Fresh(waiting); errors.Is(err, ErrBuilding) || ctx.Err() != nil {
			return Page{}, err
		}
	}
	var page Page
	err = m.view(func(tx *bbolt.Tx) error {
		page, err = list(tx, &q, after)
		return err
	})
	return page, err
}

// view reads the database; ErrBuilding when there is none to be read.
func (m *Model) view(read func(tx *bbolt.Tx) error) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.db == nil || !m.ready.Load() {
		return ErrBuilding
	}
	err := contained(func() error { return m.db.View(read) })
	if errors.Is(err, errUnusable) {
		m.opts.Logger.Error("the list of carts does not check out: it is built anew", "error", err)
		m.broken.Store(true)
		m.ask()
	}
	return err
}

func list(tx *bbolt.Tx, q *Query, after string) (Page, error) {
	page := Page{Carts: []grain.Summary{}}
	carts := tx.Bucket(bucketCarts)
	index, pre := carts, []byte(nil)
	switch {
	case q.UserID != "":
		index, pre = tx.Bucket(bucketUsers), prefix(q.UserID)
	case q.Status != "":
		index, pre = tx.Bucket(bucketStatuses), prefix(string(q.Status))
	}
	cur := index.Cursor()
	from := append(bytes.Clone(pre), after...)
	if after != "" {
		from = append(from, 0) // ids do not hold it
	}
	looked, last := 0, after
	for k, v := cur.Seek(from); k != nil && bytes.HasPrefix(k, pre); k, v = cur.Next() {
		if looked++; looked > listRows {
			page.Next = cursor(last)
			return page, nil
		}
		id := string(k[len(pre):])
		if len(pre) > 0 {
			v = carts.Get([]byte(id))
		}
		row, err := decodeRow(id, v)
		if err != nil {
			return Page{}, errors.Join(errUnusable, err)
		}
		if q.selects(&row) {
			if len(page.Carts) == q.Limit {
				page.Next = cursor(page.Carts[q.Limit-1].ID)
				return page, nil
			}
			page.Carts = append(page.Carts, row)
		}
		last = id
	}
	return page, nil
}

func (q *Query) selects(s *grain.Summary) bool {
	switch {
	case q.Status == "" && (s.Status == grain.StatusDeleted || s.Status == grain.StatusExpired), q.Status != "" && s.Status != q.Status:
		return false
	case q.UserID != "" && s.UserID != q.UserID:
		return false
	}
	return q.UpdatedBefore.IsZero() || s.Updated.Before(q.UpdatedBefore)
}

// A cursor is the id of the last cart that was looked at, and says so in a way that nobody takes for one.
const cursorMark = "1:"

func cursor(id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorMark + id))
}

func parseCursor(c string) (after string, err error) {
	if c == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(c)
	after, ok := strings.CutPrefix(string(b), cursorMark)
	if err != nil || !ok || !eventlog.ValidName(after) {
		return "", ErrCursor
	}
	return after, nil
}

// Idle yields the carts of a status and a class that were changed last before t (in checkout: whose freeze ended before t), the oldest first, as the rows have them:
// who is going to change one looks at the cart itself first. It holds nothing while the loop's body runs, so that the body
// may take its time and may change what is listed. It stops after the first error; ErrBuilding is one.
func (m *Model) Idle(ctx context.Context, status grain.Status, class Class, t time.Time) iter.Seq2[grain.Summary, error] {
	return func(yield func(grain.Summary, error) bool) {
		from, end := agePrefix(status, class, time.UnixMilli(0)), agePrefix(status, class, t)
		for from != nil {
			if ctx.Err() != nil {
				yield(grain.Summary{}, context.Cause(ctx))
				return
			}
			var rows []grain.Summary
			err := m.view(func(tx *bbolt.Tx) (err error) {
				rows, from, err = idle(tx, from, end)
				return err
			})
			if err != nil {
				yield(grain.Summary{}, err)
				return
			}
			for i := range rows {
				if !yield(rows[i], nil) {
					return
				}
			}
		}
	}
}

// idle returns the rows of the first keys from from on, below end, and where to go on; nil at the end.
func idle(tx *bbolt.Tx, from, end []byte) (rows []grain.Summary, next []byte, err error) {
	carts, cur := tx.Bucket(bucketCarts), tx.Bucket(bucketAges).Cursor()
	for k, _ := cur.Seek(from); k != nil && bytes.Compare(k, end) < 0; k, _ = cur.Next() {
		if len(k) < len(end) {
			return nil, nil, errUnusable
		}
		if len(rows) == idleRows {
			return rows, bytes.Clone(k), nil
		}
		id := string(k[len(end):])
		row, err := decodeRow(id, carts.Get([]byte(id)))
		if err != nil {
			return nil, nil, errors.Join(errUnusable, err)
		}
		rows = append(rows, row)
	}
	return rows, nil, nil
}
