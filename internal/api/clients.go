package api

import (
	"hash/maphash"
	"math"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	clientShards = 16
	// clientsKept is how many clients a shard remembers for certain, those that came last. It remembers as many again for
	// a while: 65,536 altogether at most, in some 10 MB, however many addresses there are.
	clientsKept = 2048
	// maxWait is the longest that a client is told to wait, however low its rate is.
	maxWait = 365 * 24 * time.Hour
)

// clients bounds the rate of requests of each client's address. Who has been forgotten starts anew: with so many others
// about, an address says little.
type clients struct {
	limit   rate.Limit
	burst   int
	proxies []netip.Prefix // whose X-Forwarded-For is believed
	seed    maphash.Seed
	shards  [clientShards]clientShard
}

type clientShard struct {
	mu         sync.Mutex                   // guards what follows
	young, old map[netip.Addr]*rate.Limiter // who asks moves to young; when that is full it becomes old, and old is forgotten
}

// newClients returns nil, which bounds nothing, if perSecond is not positive. A client may send the requests of a second at
// once, and one at least.
func newClients(perSecond float64, proxies []netip.Prefix) *clients {
	if !(perSecond > 0) {
		return nil
	}
	c := &clients{limit: rate.Limit(perSecond), burst: int(max(1, math.Ceil(min(perSecond, 1e6)))), proxies: proxies, seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].young = map[netip.Addr]*rate.Limiter{}
	}
	return c
}

// wait returns how long the client should wait before its next request; 0 if this one is within its rate.
func (c *clients) wait(client netip.Addr, now time.Time) time.Duration {
	limiter := c.shards[maphash.Comparable(c.seed, client)%clientShards].limiter(client, c)
	if limiter.AllowN(now, 1) { // a reservation that is cancelled gives nothing back if others reserve meanwhile
		return 0
	}
	seconds := (1 - limiter.TokensAt(now)) / float64(c.limit)
	return time.Duration(max(1, min(seconds, maxWait.Seconds())*float64(time.Second)))
}

func (s *clientShard) limiter(client netip.Addr, c *clients) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.young[client]; ok {
		return found
	}
	found, ok := s.old[client]
	if !ok {
		found = rate.NewLimiter(c.limit, c.burst)
	}
	if len(s.young) >= clientsKept {
		s.old, s.young = s.young, map[netip.Addr]*rate.Limiter{}
	}
	s.young[client] = found
	return found
}

// of returns the address that stands for who has sent r: that of the connection, or, if that is a proxy which is trusted,
// the last one in X-Forwarded-For that is not. An IPv6 address stands for its /64, which is one subscriber's.
func (c *clients) of(r *http.Request) netip.Addr {
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	client := peer.Addr().Unmap()
	hops := strings.Join(r.Header["X-Forwarded-For"], ",")
	for hops != "" && c.trusts(client) {
		var hop string
		if i := strings.LastIndexByte(hops, ','); i >= 0 {
			hops, hop = hops[:i], hops[i+1:]
		} else {
			hops, hop = "", hops
		}
		next, ok := parseHop(strings.TrimSpace(hop))
		if !ok {
			break // the proxy that we know of is all that there is to go by
		}
		client = next
	}
	if client.Is6() {
		if p, err := client.WithZone("").Prefix(64); err == nil {
			client = p.Addr()
		}
	}
	return client
}

// parseHop reads an entry of X-Forwarded-For: an address, some proxies add a port.
func parseHop(hop string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(hop, "[]")); err == nil {
		return a.Unmap(), true
	}
	a, err := netip.ParseAddrPort(hop)
	return a.Addr().Unmap(), err == nil
}

func (c *clients) trusts(a netip.Addr) bool {
	for _, p := range c.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
