package filelog

import (
	"math/bits"
	"sync"
)

// pageBits is how many positions a page of a positionSet has, as a power of two: dense positions take a sixth of a byte
// each, one alone less than its line.
const pageBits = 10

// positionSet is a set of positions. The zero value is empty. Safe for concurrent use.
type positionSet struct {
	mu    sync.Mutex // guards the following
	pages map[uint64]*[1 << (pageBits - 6)]uint64
	twice map[uint64]struct{} // those that were added more than once, up to maxFindings
	max   uint64
}

// add reports whether the position is new.
func (s *positionSet) add(pos uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pages == nil {
		s.pages, s.twice = make(map[uint64]*[1 << (pageBits - 6)]uint64), make(map[uint64]struct{})
	}
	page := s.pages[pos>>pageBits]
	if page == nil {
		page = new([1 << (pageBits - 6)]uint64)
		s.pages[pos>>pageBits] = page
	}
	word, bit := &page[pos%(1<<pageBits)/64], uint64(1)<<(pos%64)
	if *word&bit != 0 {
		if len(s.twice) < maxFindings {
			s.twice[pos] = struct{}{}
		}
		return false
	}
	*word |= bit
	s.max = max(s.max, pos)
	return true
}

// count returns how many positions from 1 to last are in the set.
func (s *positionSet) count(last uint64) (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for number, page := range s.pages {
		first := number << pageBits
		if first > last {
			continue
		}
		for i, word := range page {
			if start := first + uint64(i)*64; start > last {
				break
			} else if last-start < 63 {
				word &= 1<<(last-start+1) - 1
			}
			n += uint64(bits.OnesCount64(word))
		}
	}
	return n
}

// has reports whether the position is in the set.
func (s *positionSet) has(pos uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := s.pages[pos>>pageBits]
	return page != nil && page[pos%(1<<pageBits)/64]&(1<<(pos%64)) != 0
}
