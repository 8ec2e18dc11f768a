package main

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// unhurried is a connection whose deadlines cost next to nothing until they are waited for. net/http sets eight in a request,
// and replaces each long before it has come; each time would change the runtime's timers. So the connection behind is told
// of a deadline only when somebody reads or writes who would outlast it, and who is woken up by one that is not meant any
// more goes on.
type unhurried struct {
	net.Conn
	reads, writes deadline
}

func unhurry(c net.Conn) unhurried {
	return unhurried{c, deadline{tell: c.SetReadDeadline}, deadline{tell: c.SetWriteDeadline}}
}

// Read implements [net.Conn].
func (c *unhurried) Read(p []byte) (n int, err error) {
	for again := true; again; again = c.reads.end(err) {
		c.reads.begin()
		n, err = c.Conn.Read(p)
	}
	return n, err
}

// Write implements [net.Conn]. Who writes is to be alone, as with net/http and crypto/tls, or the parts may mix.
func (c *unhurried) Write(p []byte) (n int, err error) {
	for again := true; again; again = c.writes.end(err) {
		c.writes.begin()
		var more int
		more, err = c.Conn.Write(p[n:])
		n += more
	}
	return n, err
}

// SetDeadline implements [net.Conn].
func (c *unhurried) SetDeadline(t time.Time) error {
	return errors.Join(c.reads.set(t), c.writes.set(t))
}

// SetReadDeadline implements [net.Conn].
func (c *unhurried) SetReadDeadline(t time.Time) error { return c.reads.set(t) }

// SetWriteDeadline implements [net.Conn].
func (c *unhurried) SetWriteDeadline(t time.Time) error { return c.writes.set(t) }

// deadline is that of reads, or of writes.
type deadline struct {
	tell func(time.Time) error // the connection behind

	mu     sync.Mutex // guards what follows
	wanted time.Time  // zero: none
	told   time.Time  // not later than wanted while somebody waits
	under  int        // reads, or writes, that are under way
}

// set makes t the deadline of what is under way and of what comes.
func (d *deadline) set(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if d.under == 0 {
		return nil
	}
	return d.bound()
}

// begin is called before a read or write.
func (d *deadline) begin() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.under++
	d.bound() //nolint:errcheck // it is closed: what begins will say so
}

// bound keeps what is under way from outlasting the deadline. The caller holds mu.
func (d *deadline) bound() error {
	if d.wanted.IsZero() || !d.told.IsZero() && !d.told.After(d.wanted) {
		return nil
	}
	d.told = d.wanted
	return d.tell(d.told)
}

// end is called with the error of what has begun, and reports whether to begin again: it was woken up before its time.
func (d *deadline) end(err error) (again bool) {
	late := errors.Is(err, os.ErrDeadlineExceeded)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.under--
	if !late || !d.wanted.IsZero() && !time.Now().Before(d.wanted) {
		return false
	}
	d.told = d.wanted
	d.tell(d.told) //nolint:errcheck // as in begin
	return true
}
