package oplog

// ring holds the newest of what was put into it. The zero value holds nothing and drops all: see newRing.
type ring[T any] struct {
	at    []T // at[(first+i) % len(at)] is the i-th oldest
	first int
	n     int
}

func newRing[T any](room int) ring[T] { return ring[T]{at: make([]T, room)} }

func (r *ring[T]) len() int { return r.n }

// get returns the i-th oldest.
func (r *ring[T]) get(i int) *T { return &r.at[(r.first+i)%len(r.at)] }

// put adds v as the newest. It takes the place of the oldest if there is no other.
func (r *ring[T]) put(v T) {
	if r.n < len(r.at) {
		r.n++
	} else {
		r.first = (r.first + 1) % len(r.at)
	}
	*r.get(r.n - 1) = v
}

// unget puts v in front of the oldest. There has to be room.
func (r *ring[T]) unget(v T) {
	r.first = (r.first - 1 + len(r.at)) % len(r.at)
	r.n++
	r.at[r.first] = v
}
