package subscription_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/logtest"
	"cartd/internal/eventlog/memlog"
	"cartd/internal/subscription"
)

// appendEvent is how events look here.
func appendEvent(b []byte, ev *eventlog.Event) []byte {
	return fmt.Appendf(b, `{"position":%d,"cartId":%q,"version":%d,"payload":%s}`, ev.Position, ev.Stream.Name(), ev.Version, ev.Payload)
}

// shop is a log with a manager of subscriptions.
type shop struct {
	*subscription.Manager
	t    *testing.T
	log  *memlog.Log
	path string
	opts subscription.Options
	acts map[string]eventlog.Activation
	at   map[string]uint64
}

func open(t *testing.T, opts subscription.Options) *shop {
	t.Helper()
	log := memlog.New()
	opts.Log, opts.Event = log, appendEvent
	if opts.FirstRetry == 0 {
		opts.FirstRetry = time.Millisecond
	}
	s := &shop{t: t, log: log, path: filepath.Join(t.TempDir(), "subscriptions.db"), opts: opts, acts: map[string]eventlog.Activation{}, at: map[string]uint64{}}
	s.Manager = subscription.Open(s.path, s.opts)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		log.Close() //nolint:errcheck // in memory
	})
	return s
}

// reopen ends the manager and begins another one.
func (s *shop) reopen() {
	s.t.Helper()
	if err := s.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.Manager = subscription.Open(s.path, s.opts)
}

// add appends n events to a cart.
func (s *shop) add(cart string, n int) {
	s.t.Helper()
	if s.acts[cart] == nil {
		s.acts[cart] = logtest.Activate(s.t, s.log, logtest.Stream(s.t, cart))
	}
	for range n {
		s.at[cart] = logtest.MustAppend(s.t, s.acts[cart], s.at[cart], logtest.Event(int(s.at[cart]))).Version
	}
}

func (s *shop) create(def subscription.Definition, after *uint64) subscription.Info {
	s.t.Helper()
	info, made, err := s.Create(def, after)
	if err != nil || !made {
		s.t.Fatalf("create %s: made %v, %v", def.Name, made, err)
	}
	return info
}

func (s *shop) get(name string) subscription.Info {
	s.t.Helper()
	info, err := s.Get(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return info
}

// eventually waits until ok says yes.
func (s *shop) eventually(what string, ok func() bool) {
	s.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			s.t.Fatalf("never happened: %s; %+v", what, s.get("hook"))
		}
	}
}

func TestSubscriptionBeginsAtTheHeadAndKeepsItsPlace(t *testing.T) {
	s := open(t, subscription.Options{})
	s.add("a", 5)
	if all, err := s.List(); err != nil || len(all) != 0 {
		t.Errorf("there are %v, %v", all, err)
	}
	def := subscription.Definition{Name: "mail", Types: []string{"AddItem"}}
	if info := s.create(def, nil); info.Position != 5 || info.Created.IsZero() {
		t.Errorf("got %+v, want it to begin behind 5", info)
	}
	s.create(subscription.Definition{Name: "all"}, new(uint64(0)))
	s.add("a", 5)
	if info, made, err := s.Create(def, new(uint64(1))); made || err != nil || info.Position != 5 {
		t.Errorf("the same again: %+v, made %v, %v; want what is there", info, made, err)
	}
	if _, _, err := s.Create(subscription.Definition{Name: "mail"}, nil); !errors.Is(err, subscription.ErrExists) {
		t.Errorf("another one of this name: %v, want ErrExists", err)
	}
	for _, step := range []struct{ ack, want uint64 }{{7, 7}, {6, 7}, {9, 9}, {0, 9}} {
		if info, err := s.Ack("mail", step.ack); err != nil || info.Position != step.want {
			t.Errorf("ack %d: at %d, %v; want %d", step.ack, info.Position, err, step.want)
		}
	}
	s.reopen()
	all, err := s.List()
	if err != nil || len(all) != 2 || all[0].Name != "all" || all[0].Position != 0 || all[1].Name != "mail" || all[1].Position != 9 || !slices.Equal(all[1].Types, def.Types) {
		t.Errorf("after a restart: %+v, %v", all, err)
	}
	if err := s.Delete("all"); err != nil {
		t.Error(err)
	}
	s.reopen()
	for what, err := range map[string]error{"delete": s.Delete("all"), "ack": second(s.Ack("all", 1)), "get": second(s.Get("all")), "letters": second(s.DeadLetters("all", 0, 1))} {
		if !errors.Is(err, subscription.ErrNotFound) {
			t.Errorf("%s of one that was deleted: %v, want ErrNotFound", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestOddDefinitionsAreRefused(t *testing.T) {
	s := open(t, subscription.Options{})
	good := "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 24))
	for field, defs := range map[string][]subscription.Definition{
		"name":  {{Name: ""}, {Name: "A"}, {Name: "a b"}, {Name: "-a"}, {Name: strings.Repeat("a", 65)}, {Name: "a/b"}, {Name: "å"}},
		"types": {{Name: "a", Types: []string{""}}, {Name: "a", Types: []string{"Add Item"}}, {Name: "a", Types: []string{"a@0"}}, {Name: "a", Types: make([]string, 65)}},
		"webhook.url": {
			hook("a", "", ""), hook("a", "shop.example", ""), hook("a", "ftp://shop.example/", ""), hook("a", "http://", ""), hook("a", "http://:80/", ""), hook("a", "/x", ""), hook("a", "http:x", ""),
			hook("a", "https://u:p@shop.example/", ""), hook("a", "https://shop.example/#x", ""), hook("a", "https://shop.example/"+strings.Repeat("x", 2048), ""), hook("a", "file:///etc/passwd", ""),
		},
		"webhook.secret": {
			hook("a", "https://shop.example/", "whsec_"), hook("a", "https://shop.example/", strings.TrimPrefix(good, "whsec_")), hook("a", "https://shop.example/", good[:len(good)-4]),
			hook("a", "https://shop.example/", "whsec_"+strings.Repeat("!", 40)), hook("a", "https://shop.example/", "whsec_"+base64.StdEncoding.EncodeToString(make([]byte, 65))),
			hook("a", "https://shop.example/", good+strings.Repeat("\n", 1<<16)), hook("a", "https://shop.example/", good[:20]+"\r"+good[20:]),
		},
	} {
		for _, def := range defs {
			_, _, err := s.Create(def, nil)
			if wrong, ok := errors.AsType[*subscription.FieldError](err); !ok || wrong.Field != field {
				t.Errorf("%+v %+v: %v, want something wrong with %s", def, def.Webhook, err, field)
			}
			if def.Webhook != nil && len(def.Webhook.Secret) > 6 && strings.Contains(err.Error(), def.Webhook.Secret) {
				t.Errorf("the error repeats the secret: %v", err)
			}
		}
	}
	for n := range subscription.MaxSubscriptions {
		s.create(subscription.Definition{Name: fmt.Sprint("s", n)}, nil)
	}
	if _, _, err := s.Create(subscription.Definition{Name: "more"}, nil); !errors.Is(err, subscription.ErrTooMany) {
		t.Errorf("one more: %v, want ErrTooMany", err)
	}
}

func hook(name, url, secret string) subscription.Definition {
	return subscription.Definition{Name: name, Webhook: &subscription.Webhook{URL: url, Secret: secret}}
}

// A full disk is the shoppers'.
func TestNothingIsMadeWhileTheDiskIsLow(t *testing.T) {
	s := open(t, subscription.Options{})
	s.log.Refuse(eventlog.ErrLowSpace)
	if _, _, err := s.Create(subscription.Definition{Name: "a"}, nil); !errors.Is(err, subscription.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
}

// call is what a receiver has got.
type call struct {
	ID, Source, Type, Subject, SpecVersion string
	Time                                   time.Time
	Data                                   struct {
		CartID            string
		Position, Version uint64
	}
}

// receiver takes webhooks, and checks that they are whole, signed, and in order per cart.
type receiver struct {
	*httptest.Server
	t   *testing.T
	key []byte

	mu      sync.Mutex
	taken   map[string]uint64 // by cart: version up to which all was answered with 200
	calls   int
	repeats int
	answer  func(n int, c *call) (taken bool, respond http.HandlerFunc) // nil: 200; called with mu held
}

const secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"

func newReceiver(t *testing.T, answer func(int, *call) (bool, http.HandlerFunc)) *receiver {
	r := &receiver{t: t, key: []byte("012345678901234567890123"), taken: map[string]uint64{}, answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var c call
	if err == nil {
		err = json.Unmarshal(body, &c)
	}
	if err != nil {
		r.t.Errorf("%s: %v", body, err)
		return
	}
	id := req.Header.Get("webhook-id")
	stamp := req.Header.Get("webhook-timestamp")
	if want := subscription.Sign(r.key, id, stamp, body); req.Header.Get("webhook-signature") != want || strings.Contains(id, ".") {
		r.t.Errorf("signature %s of %s at %s, want %s", req.Header.Get("webhook-signature"), id, stamp, want)
	}
	if c.SpecVersion != "1.0" || c.Source != "/v1/carts/"+c.Data.CartID || c.Subject != c.Data.CartID || c.ID == "" || c.Time.IsZero() || !strings.HasPrefix(c.Type, "cartd.") ||
		id != c.Subject+"_"+c.ID || !strings.HasPrefix(req.Header.Get("Content-Type"), "application/cloudevents+json") || req.Method != "POST" {
		r.t.Errorf("%s %s: %+v is not what was to be sent", req.Method, id, c)
	}
	if respond := r.take(&c); respond != nil {
		respond(w, req)
	}
}

// take notes a call, and returns how it is to be answered; nil is 200.
func (r *receiver) take(c *call) http.HandlerFunc {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	taken, version := r.taken[c.Subject], c.Data.Version
	if version > taken+1 {
		r.t.Errorf("cart %s: version %d came when %d was taken", c.Subject, version, taken)
	}
	ok, respond := true, http.HandlerFunc(nil)
	if r.answer != nil {
		ok, respond = r.answer(r.calls, c)
	}
	if ok {
		if version <= taken {
			r.repeats++
		}
		r.taken[c.Subject] = max(taken, version)
	}
	return respond
}

// status answers with a status.
func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// has reports whether all of these versions were taken.
func (r *receiver) has(want map[string]uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for cart, v := range want {
		if r.taken[cart] != v {
			return false
		}
	}
	return true
}

func TestWebhookGetsEachEventInOrderPerCart(t *testing.T) {
	s := open(t, subscription.Options{})
	r := newReceiver(t, nil)
	s.add("a", 3)
	info := s.create(hook("hook", r.URL, secret), new(uint64(0)))
	if info.Secret != secret || info.URL != r.URL {
		t.Errorf("got %+v", info)
	}
	for range 20 {
		s.add("a", 1)
		s.add("b", 2)
		s.add("c", 1)
	}
	s.eventually("all are delivered", func() bool { return r.has(s.at) && s.get("hook").Position == s.log.Head() })
	if r.repeats > 0 || r.calls != int(s.log.Head()) {
		t.Errorf("%d calls, %d of them repeats; want %d and none", r.calls, r.repeats, s.log.Head())
	}
	if info := s.get("hook"); info.Secret != "" || info.Failing != 0 || info.Error != "" {
		t.Errorf("got %+v, want no secret and nothing wrong", info)
	}
	if _, err := s.Ack("hook", 1); !errors.Is(err, subscription.ErrHasWebhook) {
		t.Errorf("ack of a webhook: %v, want ErrHasWebhook", err)
	}
	s.reopen()
	s.add("a", 1)
	s.eventually("what comes after a restart is delivered", func() bool { return r.has(s.at) })
	if r.repeats > 0 {
		t.Errorf("%d repeats after an orderly end, want none", r.repeats)
	}
}

// TestWebhookGetsEachEventFromAReceiverThatFails: it answers 500, redirects, hangs, dies half way through, and the manager
// comes and goes meanwhile.
func TestWebhookGetsEachEventFromAReceiverThatFails(t *testing.T) {
	s := open(t, subscription.Options{Timeout: 100 * time.Millisecond})
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	r := newReceiver(t, func(n int, _ *call) (bool, http.HandlerFunc) {
		switch n % 11 {
		case 1:
			return false, status(http.StatusInternalServerError)
		case 3:
			return false, http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect).ServeHTTP
		case 5:
			return false, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
		case 7:
			return true, func(_ http.ResponseWriter, req *http.Request) { // it was taken, and nobody is told
				if n%77 == 7 {
					<-req.Context().Done()
				}
				panic(http.ErrAbortHandler)
			}
		case 9:
			return false, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				w.WriteHeader(http.StatusBadGateway)
				io.WriteString(w, "half") //nolint:errcheck // whatever comes of it
			}
		}
		return true, nil
	})
	s.create(hook("hook", r.URL, secret), nil)
	for round := range 6 {
		for n := range 20 {
			s.add(fmt.Sprint("cart-", n), 1+(n+round)%3)
		}
		if round%2 == 1 {
			s.reopen()
		}
	}
	s.eventually("all are delivered", func() bool { return r.has(s.at) && s.get("hook").Position == s.log.Head() })
	if info := s.get("hook"); info.Dead != 0 || info.Missed != 0 || info.Failing != 0 {
		t.Errorf("got %+v, want no dead letters", info)
	}
	t.Logf("%d calls for %d events, %d repeats", r.calls, s.log.Head(), r.repeats)
}

func TestEventThatIsNeverTakenBecomesADeadLetter(t *testing.T) {
	s := open(t, subscription.Options{GiveUp: 10 * time.Millisecond})
	r := newReceiver(t, nil)
	r.answer = func(_ int, c *call) (bool, http.HandlerFunc) {
		if c.Subject == "bad" && c.Data.Version == 2 {
			r.taken["bad"] = 2 // what follows is in order
			return false, status(http.StatusTeapot)
		}
		return true, nil
	}
	s.create(hook("hook", r.URL+"/?token=private", secret), nil)
	s.add("bad", 4)
	s.add("good", 4)
	s.eventually("the others are delivered", func() bool { return r.has(s.at) && s.get("hook").Position == s.log.Head() })
	letters, err := s.DeadLetters("hook", 0, 10)
	if err != nil || len(letters) != 1 || s.get("hook").Dead != 1 {
		t.Fatalf("got %+v, %v, want one", letters, err)
	}
	l := letters[0]
	if l.CartID != "bad" || l.Version != 2 || l.Position != 2 || l.Branch != "main" || l.Tries < 5 || l.Error != "answered 418" || l.Type == "" || l.GivenUpAt.Sub(l.FirstTry) < 10*time.Millisecond {
		t.Errorf("got %+v", l)
	}
	s.reopen()
	if letters, err := s.DeadLetters("hook", 1, 10); err != nil || len(letters) != 1 || s.get("hook").Dead != 1 {
		t.Errorf("after a restart: %+v, %v", letters, err)
	}
	if letters, err := s.DeadLetters("hook", 2, 10); err != nil || len(letters) != 0 {
		t.Errorf("behind it: %+v, %v", letters, err)
	}
	r.Server.Close()
	s.add("good", 1)
	s.eventually("it fails", func() bool { return s.get("hook").Error != "" })
	if e := s.get("hook").Error; strings.Contains(e, "private") {
		t.Errorf("the error shows the URL: %s", e)
	}
	if err := s.Delete("hook"); err != nil {
		t.Fatal(err)
	}
}

// What a receiver answers is not shown to whoever may make a webhook, which may lead anywhere.
func TestNothingOfAnAnswerIsShownButItsStatus(t *testing.T) {
	s := open(t, subscription.Options{})
	for name, respond := range map[string]http.HandlerFunc{
		"body": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "private", http.StatusTeapot) },
		"redirect": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://[private")
			w.WriteHeader(http.StatusFound)
		},
		"no http": func(w http.ResponseWriter, _ *http.Request) {
			c, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				io.WriteString(c, "SSH-2.0 private\r\n\r\n") //nolint:errcheck // then it is another error
				c.Close()
			}
		},
	} {
		r := newReceiver(t, func(int, *call) (bool, http.HandlerFunc) { return false, respond })
		r.taken["a"] = s.at["a"] // which was for the others
		s.create(hook("hook", r.URL, secret), nil)
		s.add("a", 1)
		s.eventually("it fails", func() bool { return s.get("hook").Error != "" })
		if e := s.get("hook").Error; strings.Contains(e, "private") {
			t.Errorf("%s: the error shows the answer: %s", name, e)
		}
		if err := s.Delete("hook"); err != nil {
			t.Fatal(err)
		}
	}
}

// A cart that is not taken holds others up only when the window is full, and then the log keeps what waits.
func TestWindowIsBounded(t *testing.T) {
	s := open(t, subscription.Options{})
	stuck := true
	r := newReceiver(t, nil)
	r.answer = func(_ int, c *call) (bool, http.HandlerFunc) {
		if c.Subject == "stuck" && stuck {
			return false, status(http.StatusServiceUnavailable)
		}
		return true, nil
	}
	s.create(hook("hook", r.URL, secret), nil)
	s.add("stuck", 1)
	s.add("free", 50)
	s.eventually("the other cart is delivered", func() bool { return r.has(map[string]uint64{"free": 50}) })
	if info := s.get("hook"); info.Position != 0 || info.Failing != 1 || info.Error != "" && info.Error != "answered 503" {
		t.Errorf("got %+v, want it to stand in front of 1", info)
	}
	s.add("stuck", 1500)
	s.add("free", 1)
	s.eventually("it is tried a few times more", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.calls > 60 })
	if r.has(map[string]uint64{"free": 51}) {
		t.Error("more than the window was taken into memory")
	}
	r.mu.Lock()
	stuck = false
	r.mu.Unlock()
	s.eventually("all are delivered", func() bool { return r.has(s.at) && s.get("hook").Position == s.log.Head() })
}

func TestWebhookThatIsTooSlowForTheLogCountsWhatItMissed(t *testing.T) {
	s := open(t, subscription.Options{Backlog: 3})
	r := newReceiver(t, nil)
	r.taken["a"] = 7 // 1 to 7 are lost
	s.add("a", 10)
	s.create(subscription.Definition{Name: "polled"}, new(uint64(2)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s.log.Compact(7)
	s.Manager = subscription.Open(s.path, s.opts)
	s.create(hook("hook", r.URL, secret), new(uint64(2)))
	s.eventually("the rest is delivered", func() bool { return r.has(s.at) && s.get("hook").Position == 10 })
	if info := s.get("hook"); info.Missed != 5 {
		t.Errorf("missed %d, want 5", info.Missed)
	}
	if info := s.get("polled"); info.Position != 2 {
		t.Errorf("the other stands at %d, want 2: it is told when it asks", info.Position)
	}
}

// A database that is put beside another log, as by a restore, begins with what that log has.
func TestSubscriptionOfAnotherLogBeginsAnew(t *testing.T) {
	s := open(t, subscription.Options{})
	s.add("a", 10)
	s.create(subscription.Definition{Name: "mail"}, nil)
	s.log.Close() //nolint:errcheck // in memory
	other := memlog.New()
	act := logtest.Activate(t, other, logtest.Stream(t, "b"))
	logtest.MustAppend(t, act, 0, logtest.Events(20)...)
	other.Compact(4)
	s.opts.Log, s.log = other, other
	for range 2 {
		s.reopen()
		if info := s.get("mail"); info.Position != 4 {
			t.Errorf("it stands at %d, want 4: in front of the earliest", info.Position)
		}
	}
}

// What subscriptions wait for is kept, up to the backlog.
func TestLogIsAskedToKeepWhatSubscriptionsWaitFor(t *testing.T) {
	log := &pinned{Log: memlog.New()}
	path := filepath.Join(t.TempDir(), "subscriptions.db")
	m := subscription.Open(path, subscription.Options{Log: log, Event: appendEvent, Backlog: 10})
	if _, ok := log.pins.Least(); ok {
		t.Error("something is kept for nobody")
	}
	act := logtest.Activate(t, log, logtest.Stream(t, "a"))
	logtest.MustAppend(t, act, 0, logtest.Events(8)...)
	for _, step := range []struct {
		what string
		do   func() error
		want uint64
	}{
		{"one is made", func() error { return third(m.Create(subscription.Definition{Name: "a"}, new(uint64(3)))) }, 3},
		{"another one", func() error { return third(m.Create(subscription.Definition{Name: "b"}, nil)) }, 3},
		{"the first is acknowledged", func() error { return second(m.Ack("a", 5)) }, 5},
		{"it is forgotten", func() error {
			logtest.MustAppend(t, act, 8, logtest.Events(20)...)
			return second(m.Ack("b", 9))
		}, 18},
		{"both are up to date", func() error { return errors.Join(second(m.Ack("b", 28)), second(m.Ack("a", 28))) }, 28},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		if got, ok := log.pins.Least(); !ok || got != step.want {
			t.Errorf("%s: kept behind %d, %v; want %d", step.what, got, ok, step.want)
		}
	}
	if err := errors.Join(m.Delete("a"), m.Delete("b")); err != nil {
		t.Fatal(err)
	}
	if got, ok := log.pins.Least(); ok {
		t.Errorf("kept behind %d for nobody", got)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func third[A, B any](_ A, _ B, err error) error { return err }

// pinned shows what is pinned.
type pinned struct {
	*memlog.Log
	pins eventlog.Pins
}

func (p *pinned) Pin(after uint64) *eventlog.Pin { return p.pins.Add(after) }

// A database that does not check out takes nobody's carts away: it is told, and left as it is.
func TestDatabaseThatDoesNotCheckOutIsToldAndLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "subscriptions.db")
	for what, content := range map[string]string{"short": "x", "long": strings.Repeat("x", 64<<10)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		log := &pinned{Log: memlog.New()}
		logtest.MustAppend(t, logtest.Activate(t, log, logtest.Stream(t, "a")), 0, logtest.Events(20)...)
		m := subscription.Open(path, subscription.Options{Log: log, Event: appendEvent, Backlog: 15})
		if got, ok := log.pins.Least(); !ok || got != 5 {
			t.Errorf("%s: kept behind %d, %v; want the backlog, until the database is mended", what, got, ok)
		}
		for call, err := range map[string]error{
			"create": third(m.Create(subscription.Definition{Name: "a"}, nil)), "list": second(m.List()), "get": second(m.Get("a")), "delete": m.Delete("a"), "ack": second(m.Ack("a", 1)),
		} {
			if !errors.Is(err, subscription.ErrUnavailable) {
				t.Errorf("%s, %s: %v, want ErrUnavailable", what, call, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != content {
			t.Errorf("%s: it was changed to %.20q, %v", what, b, err)
		}
	}
}
