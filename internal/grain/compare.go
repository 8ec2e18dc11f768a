package grain

import (
	"slices"

	"cartd/pkg/messages"
)

// BranchInfo is what a list of branches tells of one.
type BranchInfo struct {
	Name    string `json:"name"`
	Version uint64 `json:"version"`
	From    *Fork  `json:"forkedFrom,omitempty"` // nil for main
}

// Fork is where a branch begins.
type Fork struct {
	Branch  string `json:"branch"`
	Version uint64 `json:"version"`
}

// Branches returns the open branches beside main, in the order in which they were forked.
func (p *Past) Branches() []BranchInfo {
	open := []BranchInfo{}
	for _, b := range p.then.State().branches {
		if b.cart != nil {
			open = append(open, BranchInfo{b.name, p.Version(b.name), &Fork{b.from, b.version}})
		}
	}
	return open
}

// Branch returns what the list tells of a branch, "" for main, and false if there is no such branch that is open.
func (p *Past) Branch(name string) (BranchInfo, bool) {
	if name == "" {
		return BranchInfo{Name: MainBranch, Version: p.Version("")}, true
	}
	open := p.Branches()
	i := slices.IndexFunc(open, func(b BranchInfo) bool { return b.Name == name })
	if i < 0 {
		return BranchInfo{}, false
	}
	return open[i], true
}

// AppendComparison appends what differs between two branches that there are, "" for main: the lines, in the order of the
// left one's and then the right one's, and the totals.
func (p *Past) AppendComparison(dst []byte, left, right string) []byte {
	a, b := p.then.State().shown(left), p.then.State().shown(right)
	side := func(dst []byte, name string, l *line) []byte {
		dst = append(dst, name...)
		if l == nil {
			return append(dst, "null"...)
		}
		return appendLine(dst, l)
	}
	dst = append(dst, `{"items":[`...)
	some := false
	for _, pair := range pairLines(a.lines, b.lines) {
		if pair.left != nil && pair.right != nil && alike(pair.left, pair.right) {
			continue
		}
		if some {
			dst = append(dst, ',')
		}
		some = true
		either := pair.left
		if either == nil {
			either = pair.right
		}
		dst = appendText(dst, `{"sku":`, either.product.sku)
		dst = side(dst, `,"left":`, pair.left)
		dst = append(side(dst, `,"right":`, pair.right), '}')
	}
	dst = a.appendTotal(append(dst, `],"totalPrice":{"left":`...))
	dst = b.appendTotal(append(dst, `,"right":`...))
	return append(dst, '}', '}')
}

// linePair is a line of one branch and what it is in the other; one of them may be nil.
type linePair struct{ left, right *line }

// pairLines pairs lines that have the same id, as they are since before the branches parted, and of the rest those of the
// same SKU, in their order.
func pairLines(left, right []line) []linePair {
	pairs := make([]linePair, 0, len(left))
	byID := make(map[uint32]*line, len(right))
	for i := range right {
		byID[right[i].id] = &right[i]
	}
	inBoth := make(map[uint32]bool, len(left))
	for i := range left {
		inBoth[left[i].id] = byID[left[i].id] != nil
	}
	bySKU := map[string][]*line{}
	for i := range right {
		if l := &right[i]; !inBoth[l.id] {
			bySKU[l.product.sku] = append(bySKU[l.product.sku], l)
		}
	}
	taken := map[*line]bool{}
	for i := range left {
		pair := linePair{left: &left[i]}
		if inBoth[left[i].id] {
			pair.right = byID[left[i].id]
		} else if rest := bySKU[left[i].product.sku]; len(rest) > 0 {
			pair.right, bySKU[left[i].product.sku] = rest[0], rest[1:]
			taken[pair.right] = true
		}
		pairs = append(pairs, pair)
	}
	for i := range right {
		if l := &right[i]; !inBoth[l.id] && !taken[l] {
			pairs = append(pairs, linePair{right: l})
		}
	}
	return pairs
}

// alike reports whether two lines are the same in all but their ids and deliveries.
func alike(a, b *line) bool { return a.qty == b.qty && sameLine(a, b) }

// Fork returns the mutation by which a branch begins as a branch, "" for main, was then.
func (p *Past) Fork(from string) (*messages.BranchForked, error) {
	m := p.then.State().shown(from).content()
	if m.From, m.Version = from, p.Version(from); from == "" {
		m.From = MainBranch
	}
	payload, err := AppendPayload(nil, m)
	if err != nil {
		return nil, err
	}
	if len(payload) > p.largest {
		return nil, invalid("name", "There is more in the cart than fits into a branch: %d bytes, at most %d.", len(payload), p.largest)
	}
	return m, nil
}
