package check

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Here the faults that the alerts are about are caused in a real cartd. Each test has shoppers first, for whom all is well, and
// wants no alert; then the fault, and wants the alerts that belong to it and no other.

// add adds to a cart and returns the status.
func add(s *Server, cart, sku string) int {
	s.t.Helper()
	status, _, _ := s.Do("POST", "/v1/carts/"+cart+"/items", fmt.Sprintf(`{"sku":%q,"quantity":1}`, sku))
	return status
}

// newCart makes a cart and returns its id.
func newCart(s *Server) string {
	s.t.Helper()
	status, body, h := s.Do("POST", "/v1/carts", `{"country":"GB"}`)
	if status != http.StatusCreated {
		s.t.Fatalf("POST /v1/carts: %d %s", status, body)
	}
	return strings.TrimPrefix(h.Get("Location"), "/v1/carts/")
}

// metric returns what s says now of a metric without labels; 0 if it says nothing.
func (s *Server) metric(name string) float64 {
	body, err := s.Metrics()
	if err != nil {
		return 0
	}
	samples, _, err := ParseText(body)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, sample := range samples {
		if sample.Labels.Get("__name__") == name {
			return sample.Value
		}
	}
	return 0
}

// sound is a product of the demo.
const sound = "85123A"

// shop is ten minutes, and then half an hour, in which all is well.
func (w *watch) shop(s *Server, sku string) (cart string) {
	w.t.Helper()
	cart = newCart(s)
	for range 20 {
		if status := add(s, cart, sku); status != http.StatusOK && status != http.StatusCreated {
			w.t.Fatalf("add to cart: %d", status)
		}
		w.scrape(s)
		w.quiet("all is well")
	}
	w.hold(30 * time.Minute)
	w.quiet("all was well")
	return cart
}

// logPath is the file of a cart's events.
func logPath(data, cart string) string {
	sum := sha256.Sum256([]byte(cart))
	return filepath.Join(data, "carts", hex.EncodeToString(sum[:1]), cart+".events.log")
}

func TestFaultCatalogueIsDown(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(shopBackend))
	defer backend.Close()
	s, w := Start(t, Options{Flags: []string{"--catalog=" + backend.URL + "/products/{sku}"}}), newWatch(t)
	cart := w.shop(s, "thing")
	backend.Close()
	for i := range 20 {
		if status := add(s, cart, fmt.Sprint("new", i)); status != http.StatusBadGateway {
			t.Fatalf("add without a catalogue: %d, want 502", status)
		}
		if status := add(s, cart, "thing"); status != http.StatusOK && status != http.StatusCreated {
			t.Errorf("what is known from before: %d", status)
		}
		w.scrape(s)
	}
	// Each of the new ones was tried several times, which takes longer than 0.1 s.
	w.want("the catalogue is down", "CartdCatalogFails", "CartdErrorBudgetBurnsFast", "CartdErrorBudgetBurns", "CartdLatencyBudgetBurnsFast", "CartdLatencyBudgetBurns")
}

func TestFaultWebhookReceiverIsDown(t *testing.T) {
	t.Parallel()
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	s, w := Start(t, Options{Flags: []string{"--webhook-give-up=1s", "--webhook-timeout=1s"}}), newWatch(t)
	if status, body, _ := s.Do("POST", "/v1/subscriptions", fmt.Sprintf(`{"name":"erp","webhook":{"url":%q}}`, receiver.URL), Backend...); status != http.StatusCreated {
		t.Fatalf("POST /v1/subscriptions: %d %s", status, body)
	}
	w.shop(s, sound)
	receiver.Close()
	for range 20 {
		newCart(s)
	}
	// Five tries at least, with a second, two, four and eight between them, each give or take a half.
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); len(w.firing()) < 2; <-tick.C { // which of them is the first depends on the machine
		w.scrape(s)
		if time.Now().After(deadline) {
			t.Fatalf("only %v fire", w.firing())
		}
	}
	w.want("the receiver is down", "CartdWebhookFails", "CartdWebhookLosesEvents")
}

func TestFaultDamagedLog(t *testing.T) {
	t.Parallel()
	s, w := Start(t, Options{}), newWatch(t)
	cart := w.shop(s, sound)
	s.Stop()
	path := logPath(s.Data, cart)
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(log, []byte(sound)) // in the middle of an answered change
	log[at] ^= 1
	if err := os.WriteFile(path, log, 0o600); err != nil {
		t.Fatal(err)
	}
	s = Start(t, Options{Data: s.Data})
	w.scrape(s)
	if status, body, _ := s.Do("GET", "/v1/carts/"+cart, ""); status != http.StatusOK || !strings.Contains(body, `"damaged":true`) {
		t.Errorf("the damaged cart is %d %s", status, body)
	}
	w.scrape(s)
	w.want("a byte of a cart's log was flipped", "CartdDamaged")
	w.hold(time.Hour)
	w.want("an hour later", "CartdDamaged")

	// What the runbook says.
	s.Stop()
	if out, err := exec.Command(Cartd(t), "repair", s.Data, "--yes").CombinedOutput(); err != nil {
		t.Fatalf("cartd repair: %v\n%s", err, out)
	}
	s = Start(t, Options{Data: s.Data})
	s.Do("GET", "/v1/carts/"+cart, "")
	w.scrape(s)
	w.scrape(s)
	w.quiet("it was repaired")
}

func TestFaultKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	s, w := Start(t, Options{}), newWatch(t)
	w.shop(s, sound)
	for n := range 3 {
		newCart(s)
		s.Kill()
		w.scrape(s)
		s = Start(t, Options{Data: s.Data})
		w.scrape(s)
		if n < 2 {
			w.want("it was killed, and is there again", "CartdCrashed")
		}
	}
	w.want("three kills", "CartdCrashed", "CartdRestarts")
	s.Stop()
	w.scrape(s)
	s = Start(t, Options{Data: s.Data})
	w.scrape(s)
	w.want("it was stopped, and started once more", "CartdRestarts")
}

func TestFaultDown(t *testing.T) {
	t.Parallel()
	s, w := Start(t, Options{}), newWatch(t)
	w.shop(s, sound)
	s.Kill()
	for range 4 {
		w.scrape(s)
		w.quiet("down for less than two minutes")
	}
	w.scrape(s)
	w.want("down for two minutes", "CartdDown")
}

func TestFaultOperationsCannotBeWritten(t *testing.T) {
	t.Parallel()
	s, w := Start(t, Options{}), newWatch(t)
	w.scrape(s)
	if err := os.RemoveAll(filepath.Join(s.Data, "oplog")); err != nil { // before the first is stored: no file can be made there any more
		t.Fatal(err)
	}
	newCart(s)
	Eventually(t, "six tries", func() bool { return s.metric("cartd_oplog_failures_total") >= 6 })
	w.scrape(s)
	w.want("the directory is gone", "CartdOperationsNotStored")
}

func TestFaultOverloaded(t *testing.T) {
	t.Parallel()
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/products/slow") {
			<-r.Context().Done()
			return
		}
		shopBackend(w, r)
	}))
	defer backend.Close()
	s, w := Start(t, Options{Flags: []string{"--max-requests=1", "--catalog=" + backend.URL + "/products/{sku}"}}), newWatch(t)
	cart := w.shop(s, "thing")
	done := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(done)
	wg.Go(func() { // takes the only place, for as long as a look-up may take, again and again
		for {
			resp, err := http.Post(s.API+"/v1/carts/"+cart+"/items", "application/json", strings.NewReader(`{"sku":"slow","quantity":1}`))
			if err == nil {
				resp.Body.Close()
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for range 21 {
		refused := 0
		Eventually(t, "three requests are refused", func() bool {
			if status, _, _ := s.Do("GET", "/v1/carts/"+cart, ""); status == http.StatusServiceUnavailable {
				refused++
			}
			return refused == 3
		})
		w.scrape(s)
	}
	// Of those that are slow, and then fail for want of a catalogue, there are as many as there was time for.
	got := slices.DeleteFunc(w.firing(), func(name string) bool { return strings.HasPrefix(name, "CartdLatency") || name == "CartdCatalogFails" })
	if want := []string{"CartdErrorBudgetBurns", "CartdErrorBudgetBurnsFast", "CartdOverloaded"}; !slices.Equal(got, want) {
		t.Errorf("more than can be worked on: %v fire, want %v", got, want)
	}
}

func TestFaultSnapshotsCannotBeWritten(t *testing.T) {
	t.Parallel()
	s, w := Start(t, Options{}), newWatch(t)
	cart := w.shop(s, sound)
	if err := os.Mkdir(strings.TrimSuffix(logPath(s.Data, cart), ".events.log")+".snapshot.tmp", 0o700); err != nil {
		t.Fatal(err)
	}
	for range 300 { // one is due behind 256 events
		add(s, cart, sound)
	}
	Eventually(t, "it was tried, which no shopper waits for", func() bool { return s.metric("cartd_event_log_snapshot_failures_total") > 0 })
	w.scrape(s)
	w.want("a snapshot's name is taken", "CartdSnapshotsFail")
}

func TestFaultEventsOfAnotherProgram(t *testing.T) {
	t.Parallel()
	s, w := Start(t, Options{}), newWatch(t)
	cart := w.shop(s, sound)
	s.Stop()
	// A cart that a newer cartd has written, and one with an event that this one has never heard of.
	log, err := os.ReadFile(logPath(s.Data, cart))
	if err != nil {
		t.Fatal(err)
	}
	newer, _, _ := bytes.Cut(log, []byte(`,"crc":`))
	newer = bytes.Replace(newer, []byte(`"v":1`), []byte(`"v":2`), 1)
	newer = fmt.Appendf(newer, `,"crc":"%08x"}`+"\n", crc32.Checksum(newer, crc32.MakeTable(crc32.Castagnoli)))
	unknown := []byte(`{"ts":1700000000,"type":"ThrowConfetti","payload":{}}` + "\n")
	for id, content := range map[string][]byte{"newer": newer, "unknown": unknown} {
		if err := os.MkdirAll(filepath.Dir(logPath(s.Data, id)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(logPath(s.Data, id), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = Start(t, Options{Data: s.Data})
	w.scrape(s)
	w.quiet("nobody has asked for them")
	if status, body, _ := s.Do("GET", "/v1/carts/unknown", ""); status != http.StatusOK || !strings.Contains(body, `"damaged":true`) {
		t.Errorf("the cart with an unknown event is %d %s", status, body)
	}
	w.scrape(s)
	w.want("an unknown event", "CartdEventsSkipped")
	for range 3 {
		if status, body, _ := s.Do("GET", "/v1/carts/newer", ""); status != http.StatusInternalServerError {
			t.Errorf("the cart of a newer cartd is %d %s, want 500", status, body)
		}
		w.scrape(s)
	}
	w.want("a newer format, too", "CartdEventsSkipped", "CartdReplaysFail")
}
