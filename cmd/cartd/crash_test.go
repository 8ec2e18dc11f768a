//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// ledger is what was asked of servers and what they answered: the outside truth that they are held against.
type ledger struct {
	mu      sync.Mutex      // guards the following
	created map[string]bool // by id: whether it was answered
	adds    []*entry

	replayed int // repeats of what had been applied without an answer; for repeat's caller
}

// entry is one AddItem with a SKU of its own: applied twice it would be a quantity of 2.
type entry struct {
	cart, sku string
	writer    string // adds of one writer to one cart were sent one after the other, in the order of the ledger
	body      string
	key       string // "" for none
	answered  bool   // with a 2xx; otherwise nobody knows
}

func (l *ledger) create(id string, answered bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.created == nil {
		l.created = map[string]bool{}
	}
	l.created[id] = answered
}

func (l *ledger) note(a *entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.adds = append(l.adds, a)
}

// writer adds to a cart of its own, which it makes, and to a shared one, until something is not answered with a 2xx.
type writer struct {
	s        *server
	ledger   *ledger
	name     string
	shared   string
	keys     bool
	padding  string
	answered func() // called after each 2xx, before anything else
	stop     func(answer, error)
}

func (w writer) run() {
	own := "own-" + w.name
	w.ledger.create(own, false)
	a, err := w.s.try("POST", "/v1/carts", newCart(own))
	if err != nil || a.status != http.StatusCreated {
		w.stop(a, err)
		return
	}
	w.answered()
	w.ledger.create(own, true)
	for n := range 10_000 {
		sku := fmt.Sprintf("%s-%04d", w.name, n)
		add := &entry{cart: own, sku: sku, writer: w.name, body: addItem(sku, 1, 100, w.padding)}
		if n%2 == 1 {
			add.cart = w.shared
		}
		var header []string
		if w.keys {
			add.key = "key-" + sku
			header = []string{"Idempotency-Key", add.key}
		}
		a, err := w.s.try("POST", "/v1/carts/"+add.cart+"/mutations", add.body, header...)
		if err == nil && a.status == http.StatusOK {
			w.answered()
			add.answered = true
		}
		w.ledger.note(add)
		if !add.answered {
			w.stop(a, err)
			return
		}
	}
}

// repeat sends again what was not answered, with the same keys. It must succeed, whether it was applied or not.
func (l *ledger) repeat(t *testing.T, s *server) {
	t.Helper()
	for id, answered := range l.created {
		if answered {
			continue
		}
		if a, err := s.try("POST", "/v1/carts", newCart(id)); err != nil || a.status != http.StatusCreated && a.status != http.StatusConflict {
			t.Fatalf("create cart %s again: %d %s, error %v; want 201 or 409", id, a.status, a.body, err)
		}
		l.created[id] = true
	}
	for _, add := range l.adds {
		if !add.answered {
			a := s.do(t, http.StatusOK, "POST", "/v1/carts/"+add.cart+"/mutations", add.body, "Idempotency-Key", add.key)
			if a.header.Get("Idempotent-Replayed") == "true" {
				l.replayed++
			}
			add.answered = true
		}
	}
}

// check compares every cart with the ledger: what was answered is there once, what was not is there at most once,
// nothing else is there, each writer's adds are in its order, and versions have no hole.
func (l *ledger) check(t *testing.T, s *server) {
	t.Helper()
	sent := map[string]map[string]*entry{}
	for _, add := range l.adds {
		if sent[add.cart] == nil {
			sent[add.cart] = map[string]*entry{}
		}
		sent[add.cart][add.sku] = add
	}
	for id, answered := range l.created {
		a, err := s.try("GET", "/v1/carts/"+id, "")
		if err == nil && !answered && a.status == http.StatusNotFound {
			continue
		}
		if err != nil || a.status != http.StatusOK {
			t.Errorf("cart %s, created with a 2xx: %v: %d %s, error %v", id, answered, a.status, a.body, err)
			continue
		}
		c, last := decodeAs[cart](t, a.body), map[string]string{}
		for _, it := range c.Items {
			add := sent[id][it.SKU]
			if add == nil || it.Qty != 1 {
				t.Errorf("cart %s holds %d of %s, want one of what was sent: %v", id, it.Qty, it.SKU, add != nil)
				continue
			}
			delete(sent[id], it.SKU)
			if it.SKU <= last[add.writer] {
				t.Errorf("cart %s has %s behind %s, want the order in which they were sent", id, it.SKU, last[add.writer])
			}
			last[add.writer] = it.SKU
		}
		for _, add := range sent[id] {
			if add.answered {
				t.Errorf("cart %s has lost %s, which was answered with a 2xx", id, add.sku)
			}
		}
		if want := uint64(len(c.Items)) + 1; c.Version != want || c.Damaged {
			t.Errorf("cart %s is at version %d, damaged %v; want %d, false", id, c.Version, c.Damaged, want)
		}
		wantVersions(t, s, id, c.Version)
	}
}

// wantVersions checks that the events of a cart are numbered from 1 to head.
func wantVersions(t *testing.T, s *server, id string, head uint64) {
	t.Helper()
	var got []uint64
	for after := uint64(0); after < head; {
		page := decodeAs[struct {
			Events []struct {
				Version uint64 `json:"version"`
			} `json:"events"`
			Next, Head uint64
		}](t, s.do(t, http.StatusOK, "GET", fmt.Sprintf("/v1/carts/%s/events?limit=1000&after=%d", id, after), "").body)
		for _, ev := range page.Events {
			got = append(got, ev.Version)
		}
		if page.Head != head || page.Next <= after {
			t.Fatalf("events of cart %s after %d: head %d, next %d; want head %d", id, after, page.Head, page.Next, head)
		}
		after = page.Next
	}
	for i, v := range got {
		if v != uint64(i)+1 {
			t.Fatalf("events of cart %s have versions %v, want 1 to %d", id, got, head)
		}
	}
	if uint64(len(got)) != head {
		t.Errorf("cart %s has %d events, want %d", id, len(got), head)
	}
}

func TestAnsweredChangesSurviveKill(t *testing.T) { killInALoop(t, killRounds(), 4, false) }

func TestChangesRepeatedAfterKillAreAppliedExactlyOnce(t *testing.T) {
	killInALoop(t, killRounds(), 4, true)
}

// TestSixtyFourWritersSurviveKills is the same with frames that hold the commits of many. `make crash` runs it 20 times.
func TestSixtyFourWritersSurviveKills(t *testing.T) {
	rounds := 3
	if s := os.Getenv("CARTD_TEST_KILLS"); s != "" {
		var err error
		if rounds, err = strconv.Atoi(s); err != nil || rounds < 1 {
			t.Fatalf("CARTD_TEST_KILLS is %q, want a number", s)
		}
	}
	killInALoop(t, rounds, 64, true)
}

func killRounds() int {
	if testing.Short() {
		return 4
	}
	return 15
}

// killInALoop runs servers on one data directory and kills each right after one of its answers, while other requests
// are on their way.
func killInALoop(t *testing.T, rounds, writers int, repeat bool) {
	t.Parallel()
	const shared = "shared"
	data, l := t.TempDir(), &ledger{}
	l.create(shared, true)
	unknown := 0
	for round := range rounds {
		s := serve(t, data)
		if round == 0 {
			s.create(t, shared)
		}
		if repeat {
			l.repeat(t, s)
		}
		l.check(t, s)
		if t.Failed() {
			t.Fatalf("after %d kills", round)
		}

		var answers atomic.Int64
		// The last answer of this server; with few writers the first round ends with the first one.
		last := int64(1 + round*7%31 + (writers-4)*(1+round%5))
		var wg sync.WaitGroup
		for n := range writers {
			w := writer{s: s, ledger: l, name: fmt.Sprintf("r%02dw%d", round, n), shared: shared, keys: repeat}
			w.answered = func() {
				if answers.Add(1) == last {
					s.signal(syscall.SIGKILL)
				}
			}
			w.stop = func(a answer, err error) {
				if err == nil {
					t.Errorf("writer %s: %d %s, want a 2xx or no answer at all", w.name, a.status, a.body)
				}
			}
			wg.Go(w.run)
		}
		wg.Wait()
		s.wantExit(-1)
		for _, add := range l.adds {
			if !add.answered && (repeat || strings.HasPrefix(add.writer, fmt.Sprintf("r%02d", round))) {
				unknown++
			}
		}
	}
	s := serve(t, data)
	if repeat {
		l.repeat(t, s)
	}
	l.check(t, s)
	m := s.metrics(t)
	for _, name := range []string{"cart_event_log_replay_failures_total", "cart_event_log_unknown_types_total",
		"cart_event_log_mutation_errors_total", "cartd_event_log_damaged_lines_total"} {
		if m[name] != 0 {
			t.Errorf("%s is %v, want 0", name, m[name])
		}
	}
	t.Logf("%d kills, %d adds, %d of them without an answer, of which %d were found applied when repeated", rounds, len(l.adds), unknown, l.replayed)
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
}

// TestOneKeyIsOneEventThoughTheServerDiesBeforeItAnswers: 20 requests at once with one key, and a kill when the event is on
// stable storage and nobody has been told yet. The repeats, 20 at once again, add nothing.
func TestOneKeyIsOneEventThoughTheServerDiesBeforeItAnswers(t *testing.T) {
	t.Parallel()
	const clicks = 20
	data := t.TempDir()
	s := serve(t, data)
	s.create(t, "c")
	path, body := "/v1/carts/c/items", `{"sku":"85123A","quantity":6}`
	for range clicks {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.api, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close() // whatever is answered here, nobody reads it
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
	}
	eventually(t, "the click is stored", func() bool { return s.cart(t, "c").Version > 1 })
	s.kill()
	s = serve(t, data)
	var wg sync.WaitGroup
	for range clicks {
		wg.Go(func() {
			a, err := s.try("POST", path, body, "Idempotency-Key", "k")
			if err != nil || a.status != http.StatusOK || a.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("a repeat: %d %s, %v; want the answer to what was stored", a.status, a.body, err)
			}
		})
	}
	wg.Wait()
	if c := s.cart(t, "c"); c.Version != 2 || len(c.Items) != 1 || c.Items[0].Qty != 6 {
		t.Errorf("the cart is %+v, want one click and no more", c)
	}
}
