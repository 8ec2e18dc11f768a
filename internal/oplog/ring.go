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

// put adds v as the newest. It takes the place of the oldest if there is no other, and then reports true.
func (r *ring[T]) put(v T) (dropped bool) {
	if r.n == len(r.at) {
		r.at[r.first] = v
		r.first = (r.first + 1) % len(r.at)
		return true
	}
	r.n++
	*r.get(r.n - 1) = v
	return false
}

// unget puts v in front of the oldest. There has to be room.
func (r *ring[T]) unget(v T) {
	r.first = (r.first - 1 + len(r.at)) % len(r.at)
	r.n++
	r.at[r.first] = v
}

// take removes the oldest n, or all if there are fewer, and returns them.
func (r *ring[T]) take(n int) []T {
	out := make([]T, min(n, r.n))
	var none T
	for i := range out {
		p := r.get(i)
		out[i], *p = *p, none // lets go of what it refers to
	}
	r.first = (r.first + len(out)) % len(r.at)
	r.n -= len(out)
	return out
}
