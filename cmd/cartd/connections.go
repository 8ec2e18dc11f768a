package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// connections accepts at most max connections at a time. With that many open, one on which nothing is asked makes room for
// the new one: a listener that stopped accepting, as netutil.LimitListener does, would let those who only sit there keep all
// others out. If all are busy, the new one is closed at once.
type connections struct {
	net.Listener
	max int

	mu   sync.Mutex // guards open
	open map[*connection]struct{}
}

// connection is one of them.
type connection struct {
	unhurried
	of *connections
	// idle is since when nothing is asked on it (Unix, in nanoseconds): from the end of a request to the end of the next
	// one's header. busy while something is, or when it was closed to make room.
	idle atomic.Int64
	// unwatched is true when the next read that would only notice the client's leaving is not wanted.
	unwatched atomic.Bool
}

const busy = 0

func limitConnections(l net.Listener, limit int) *connections {
	return &connections{Listener: l, max: limit, open: map[*connection]struct{}{}}
}

// Accept implements [net.Listener].
func (l *connections) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &connection{unhurried: unhurry(accepted), of: l}
		c.idle.Store(time.Now().UnixNano())
		l.mu.Lock()
		full, idle := len(l.open) >= l.max, (*connection)(nil)
		if full {
			idle = l.takeIdle()
		}
		if !full || idle != nil {
			l.open[c] = struct{}{}
			l.mu.Unlock()
			if idle != nil {
				idle.Conn.Close() //nolint:errcheck // who had it will see
			}
			return c, nil
		}
		l.mu.Unlock()
		accepted.Close() //nolint:errcheck // there is nothing to say
	}
}

// looked is how many connections are compared to find one that has been idle for long.
const looked = 64

// takeIdle removes a connection on which nothing is asked: the one that has been idle longest of some that are looked at, or
// any. nil if there is none. The caller holds mu.
func (l *connections) takeIdle() *connection {
	for {
		var longest *connection
		var since int64
		n := 0
		for c := range l.open { // in an order that is random enough
			if at := c.idle.Load(); at != busy && (longest == nil || at < since) {
				longest, since = c, at
			}
			if n++; n >= looked && longest != nil {
				break
			}
		}
		if longest == nil {
			return nil
		}
		if longest.idle.CompareAndSwap(since, busy) { // else a request has come meanwhile
			delete(l.open, longest)
			return longest
		}
	}
}

// Read implements [net.Conn].
func (c *connection) Read(p []byte) (int, error) {
	if len(p) == 1 && c.unwatched.Swap(false) {
		return 0, nil // see the function unwatched
	}
	return c.unhurried.Read(p)
}

// Close implements [net.Conn].
func (c *connection) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// noteState is what an http.Server tells of its connections.
func noteState(c net.Conn, state http.ConnState) {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	if c, ok := c.(*connection); ok {
		switch state {
		case http.StateActive, http.StateHijacked:
			c.idle.Store(busy)
		case http.StateIdle:
			c.idle.Store(time.Now().UnixNano())
			c.unwatched.Store(false) // it was for the request that has ended
		}
	}
}

// connectionKey is that of a request's connection in its context.
type connectionKey struct{}

// noteConnection is what an http.Server makes a connection's context with.
func noteConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// unwatched serves changes, without an eye on their clients: a change is finished in any case. As soon as net/http has the
// whole body it reads one byte more, on a goroutine of its own, to notice when the client goes; for the answer that
// goroutine has to be woken up. Here this read gets nothing, at once, and net/http takes that for the end of it. A read that
// wants more than to watch is repeated by who gets nothing. With TLS nothing is different.
func unwatched(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && r.Method != http.MethodGet && r.Method != http.MethodHead {
			if c, ok := r.Context().Value(connectionKey{}).(*connection); ok {
				c.unwatched.Store(true)
			}
		}
		next.ServeHTTP(w, r)
	})
}

// prefixFlag is a range of addresses, written like 10.0.0.0/8, or one address.
type prefixFlag netip.Prefix

// UnmarshalText is what kong calls.
func (p *prefixFlag) UnmarshalText(text []byte) error {
	if a, err := netip.ParseAddr(string(text)); err == nil && a.Zone() == "" {
		*p = prefixFlag(netip.PrefixFrom(a, a.BitLen()))
		return nil
	}
	parsed, err := netip.ParsePrefix(string(text))
	if err != nil {
		return fmt.Errorf("%q is no range of addresses like 10.0.0.0/8", text)
	}
	*p = prefixFlag(parsed)
	return nil
}
