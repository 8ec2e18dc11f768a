package api

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestEachClientHasARateOfItsOwn(t *testing.T) {
	c := newClients(2.5, nil)
	now := time.Unix(1000, 0)
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i := range 3 { // those of a second, rounded up
		if d := c.wait(one, now); d != 0 {
			t.Fatalf("request %d is to wait %v", i, d)
		}
	}
	for range 10 { // being refused costs nothing
		if d := c.wait(one, now); d != 400*time.Millisecond {
			t.Errorf("one request too many is to wait %v, want 400ms", d)
		}
	}
	if d := c.wait(two, now); d != 0 {
		t.Errorf("another client is to wait %v", d)
	}
	if d := c.wait(one, now.Add(400*time.Millisecond)); d != 0 {
		t.Errorf("after the time that it was told the client is to wait %v", d)
	}
	if newClients(0, nil) != nil || newClients(0.1, nil).wait(one, now) != 0 {
		t.Error("a rate of 0 limits, or a small one lets nobody in")
	}
}

// Requests that are refused at the same time do not put off when the client is let in again.
func TestRefusedRequestsCostNothingHoweverManyComeAtOnce(t *testing.T) {
	c := newClients(1, nil)
	now := time.Unix(1000, 0)
	one := netip.MustParseAddr("192.0.2.1")
	if d := c.wait(one, now); d != 0 {
		t.Fatalf("the first is to wait %v", d)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20_000 {
				if d := c.wait(one, now); d != time.Second {
					t.Errorf("one request too many is to wait %v, want 1s", d)
					return
				}
			}
		})
	}
	wg.Wait()
	if d := c.wait(one, now.Add(time.Second)); d != 0 {
		t.Errorf("after the time that it was told the client is to wait %v", d)
	}
	if c = newClients(1e-300, nil); c.wait(one, now) != 0 || c.wait(one, now) != maxWait {
		t.Error("the wait for a rate that is next to nothing is not the longest")
	}
}

// A flood of addresses takes no more memory, and does not make the server forget who floods it from one of them.
func TestFloodOfAddressesTakesBoundedMemory(t *testing.T) {
	c := newClients(1, nil)
	now := time.Unix(1000, 0)
	busy := netip.MustParseAddr("192.0.2.1")
	c.wait(busy, now)
	for i := range uint32(300_000) {
		c.wait(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), now)
		if i%1000 == 0 && c.wait(busy, now) == 0 {
			t.Fatalf("after %d addresses the busy client has been forgotten", i)
		}
	}
	n := 0
	for i := range c.shards {
		n += len(c.shards[i].young) + len(c.shards[i].old)
	}
	if n > 2*clientShards*clientsKept {
		t.Errorf("%d clients are remembered, want %d at most", n, 2*clientShards*clientsKept)
	}
}

func TestClientIsWhoTheConnectionOrATrustedProxySays(t *testing.T) {
	c := newClients(1, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")})
	for _, tc := range []struct {
		peer, forwarded, want string
	}{
		{"192.0.2.1:5000", "", "192.0.2.1"},
		{"192.0.2.1:5000", "203.0.113.7", "192.0.2.1"}, // a client that says so itself
		{"10.1.2.3:5000", "", "10.1.2.3"},
		{"10.1.2.3:5000", "203.0.113.7", "203.0.113.7"},
		{"[::ffff:10.1.2.3]:5000", "::ffff:203.0.113.7", "203.0.113.7"},
		{"10.1.2.3:5000", "198.51.100.1, 203.0.113.7", "203.0.113.7"},                 // the first is what the client has made up
		{"10.1.2.3:5000", "198.51.100.1, 203.0.113.7, 10.9.9.9", "203.0.113.7"},       // two proxies
		{"10.1.2.3:5000", "198.51.100.1|203.0.113.7 , 10.9.9.9", "203.0.113.7"},       // in two headers
		{"10.1.2.3:5000", "203.0.113.7:4711", "203.0.113.7"},                          // with a port
		{"10.1.2.3:5000", "unknown", "10.1.2.3"},                                      // RFC 7239 has that
		{"10.1.2.3:5000", "203.0.113.7, , 10.9.9.9", "10.9.9.9"},                      // what cannot be read ends it
		{"10.1.2.3:5000", "10.9.9.9", "10.9.9.9"},                                     // a client inside
		{"10.1.2.3:5000", strings.Repeat("10.9.9.9,", 3000) + "10.8.8.8", "10.9.9.9"}, // many
		{"[2001:db8:1:2:3:4:5:6]:5000", "", "2001:db8:1:2::"},                         // a subscriber's network
		{"[fd00::1]:5000", "2001:db8:1:2:ffff::1", "2001:db8:1:2::"},                  // told by a proxy
		{"[fd00::1]:5000", "[2001:db8:1:2:ffff::1]:80", "2001:db8:1:2::"},             // with a port
		{"[fe80::1%eth0]:5000", "", "fe80::"},                                         // with a zone
		{"@", "203.0.113.7", "invalid IP"},                                            // no address at all
	} {
		r := &http.Request{RemoteAddr: tc.peer, Header: http.Header{}}
		if tc.forwarded != "" {
			r.Header["X-Forwarded-For"] = strings.Split(tc.forwarded, "|")
		}
		if got := c.of(r).String(); got != tc.want {
			t.Errorf("from %s by %.60q: client %s, want %s", tc.peer, tc.forwarded, got, tc.want)
		}
	}
}

func TestNestingIsCountedOutsideOfStrings(t *testing.T) {
	for text, deep := range map[string]bool{
		`{"a":[{"b":1}]}`:                false,
		`{"a":[{"b":[]}]}`:               true,
		`{"a":"[[[[[[["}`:                false,
		`{"a":"\"[[[[[[","b":[{"c":1}]}`: false,
		`{"a\\":[[[1]]]}`:                true,
		`[[],[],[],[],[],[],[]]`:         false,
		`]]]]]]]]`:                       false,
		`[[[[`:                           true,
	} {
		if got := tooDeep([]byte(text), 3); got != deep {
			t.Errorf("%s: too deep is %t, want %t", text, got, deep)
		}
	}
}

// What large bodies take together is bounded, whatever lengths they promise.
func TestLargeBodiesShareABoundedMemory(t *testing.T) {
	s := &server{Options: Options{MaxBodyBytes: 1 << 20}}
	x := &exchange{server: s}
	b, err := x.readLarge(strings.NewReader(strings.Repeat("x", 100_000)))
	if err != nil || len(b) != 100_000 || x.buffered < 100_000 || s.buffered.Load() != x.buffered {
		t.Errorf("%d bytes are read, %v, for %d that are counted, want 100,000", len(b), err, x.buffered)
	}
	s.buffered.Store(maxBuffered - 50_000)
	y := &exchange{server: s}
	_, err = y.readLarge(strings.NewReader(strings.Repeat("x", 100_000)))
	if p, ok := errors.AsType[*problem](err); !ok || p.Code != "unavailable" {
		t.Errorf("beyond the bound: %v, want unavailable", err)
	}
	if s.buffered.Load() != maxBuffered-50_000+y.buffered {
		t.Error("what was taken is not what is given back")
	}
}
