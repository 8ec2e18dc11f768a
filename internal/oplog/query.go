package oplog

import (
	"slices"
	"time"
)

// MaxLimit is the most operations that one page holds.
const MaxLimit = 1000

// Query selects operations. Of the zero values each selects all, but Limit, which has to be 1 to [MaxLimit].
type Query struct {
	// After is the Seq behind which to begin.
	After uint64
	// Before, if not 0, is the Seq to end before.
	Before uint64
	// Tail asks for the newest Limit operations, instead of the first ones behind After.
	Tail bool
	// Since and Until are the times of the first one that is wanted and of the first that is not.
	Since, Until time.Time
	// Source, Kinds and Cart are what an operation has to be of.
	Source string
	Kinds  []string
	Cart   string
	// Limit is the most that are returned.
	Limit int
}

// Page is what a query has found, by Seq.
type Page struct {
	Operations []Operation `json:"operations"`
	// Next is where to go on: the After of the next query. It also moves over what was looked at and not selected.
	Next uint64 `json:"next"`
}

// Selects reports whether the query wants o. It does not look at Limit.
func (q *Query) Selects(o *Operation) bool {
	switch {
	case o.Seq <= q.After, q.Before != 0 && o.Seq >= q.Before,
		!q.Since.IsZero() && o.Time.Before(q.Since), !q.Until.IsZero() && !o.Time.Before(q.Until),
		q.Source != "" && o.Source != q.Source, q.Cart != "" && o.Cart != q.Cart:
		return false
	}
	return len(q.Kinds) == 0 || slices.Contains(q.Kinds, o.Kind)
}
