package importer

import (
	"cmp"
	"slices"
	"time"
)

// maxProblems bounds how many problems a report lists.
const maxProblems = 10_000

// Kind says what a problem is.
type Kind string

// The kinds of problems. Unless said otherwise the rest of the cart is imported.
const (
	BadName     Kind = "bad_name"     // the file's name names no cart; nothing is imported
	NotAFile    Kind = "not_a_file"   // it cannot be read; nothing is imported
	TooLarge    Kind = "too_large"    // the log is larger than what is imported; nothing is
	OwnLog      Kind = "own_log"      // it is a log of cartd; nothing is imported
	Exists      Kind = "exists"       // there is another cart with this id; nothing is imported
	DamagedLine Kind = "damaged_line" // the line does not check out: the cart is marked
	UnknownType Kind = "unknown_type" // cartd does not know the mutation: the cart is marked
	Unresolved  Kind = "unresolved"   // the catalogue does not have the product: it is left out
	Refused     Kind = "refused"      // the mutation has no effect on the cart as it is there
)

// Problem is something that could not be imported.
type Problem struct {
	File   string `json:"file"` // relative to the directory
	Line   int    `json:"line,omitzero"`
	Cart   string `json:"cart,omitzero"`
	Kind   Kind   `json:"kind"`
	Detail string `json:"detail"`
}

// Report is what an import has done.
type Report struct {
	Carts    int       `json:"carts"`    // imported now
	Events   int       `json:"events"`   // stored now
	Already  int       `json:"already"`  // carts that an import before has taken over, and that are left alone
	Reported int       `json:"reported"` // problems, of which 10,000 are listed
	Problems []Problem `json:"problems"`
	Seconds  float64   `json:"seconds"`
}

func (r *Report) add(p Problem) {
	if r.Reported++; len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, p)
	}
}

func (r *Report) finish(took time.Duration) {
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	r.Seconds = took.Seconds()
}
