package actor

import "sync"

// views are buffers for views of replies that have been released.
var views sync.Pool // of *[]byte

// maxKeptView is up to which size a buffer is used again: those of large states would stay for the small ones.
const maxKeptView = 64 << 10

// Release gives the memory of r's View to a later reply. Who has received r may call it, once, when nothing uses View
// any more. It does nothing to a View that others may have, and it is never necessary.
func (r *Reply) Release() {
	if r.buffer == nil {
		return
	}
	if cap(r.View) <= maxKeptView {
		*r.buffer = r.View[:0]
		views.Put(r.buffer)
	}
	r.View, r.buffer = nil, nil
}

// renderFor makes the view of a branch for a reply that nobody else gets.
func (g *grain[S]) renderFor(r *Reply, branch string) {
	buffer, ok := views.Get().(*[]byte)
	if !ok {
		r.View, r.buffer = g.render(branch), new([]byte)
		return
	}
	r.View, r.buffer = g.cfg.View(*buffer, g.state, g.infoOf(branch)), buffer
}
