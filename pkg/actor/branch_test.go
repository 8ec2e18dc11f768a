package actor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	"pgregory.net/rapid"

	"cartd/pkg/actor"
)

// tally is an aggregate with branches: a sum for each, "" is main. A branch begins with a fork.
type tally map[string]int

type (
	plus struct{ N int }
	fork struct{ From string }
)

func tallies() *actor.MutationRegistry[tally] {
	r := actor.NewMutationRegistry[tally]()
	actor.Register(r, "Plus", func(s *tally, m *plus, meta actor.Meta) error {
		if _, ok := (*s)[meta.Branch]; !ok && meta.Branch != "" {
			return actor.Refuse(actor.CodeBranchNotFound, "no branch %s", meta.Branch)
		}
		if m.N == 0 {
			return actor.NoChange
		}
		if *s == nil {
			*s = tally{}
		}
		(*s)[meta.Branch] += m.N
		return nil
	})
	actor.Register(r, "Fork", func(s *tally, m *fork, meta actor.Meta) error {
		if *s == nil {
			*s = tally{}
		}
		(*s)[meta.Branch] = (*s)[m.From]
		return nil
	})
	return r
}

// newTally returns a host of tallies, whose views are like "gift@2=7".
func newTally(t *testing.T, change func(*actor.Config[tally])) (*host, actor.Config[tally]) {
	h := newHost(t, nil)
	cfg := actor.Config[tally]{
		Kind: "tally", Registry: tallies(), Log: h.log, Observer: h,
		View: func(dst []byte, s *tally, info actor.Info) []byte {
			return fmt.Appendf(dst, "%s@%d=%d", info.Branch, info.Version, (*s)[info.Branch])
		},
		Branch: func(s *tally, name string) *actor.Refusal {
			if _, ok := (*s)[name]; !ok {
				return actor.Refuse(actor.CodeBranchNotFound, "no branch %s", name)
			}
			return nil
		},
		Clone: func(s *tally) *tally { c := maps.Clone(*s); return &c },
		Snapshots: &actor.Codec[tally]{Version: 1,
			Encode: func(dst []byte, s *tally) []byte {
				for _, name := range slices.Sorted(maps.Keys(*s)) {
					dst = fmt.Appendf(dst, "%s=%d\n", name, (*s)[name])
				}
				return dst
			},
			Decode: func(data []byte) (*tally, error) {
				s := tally{}
				for line := range strings.Lines(string(data)) {
					name, n, _ := strings.Cut(strings.TrimSpace(line), "=")
					total, err := strconv.Atoi(n)
					if err != nil {
						return nil, err
					}
					s[name] = total
				}
				return &s, nil
			}},
		Stopped: func(string, *protoactor.PID) {
			h.mu.Lock()
			clear(h.pids)
			h.mu.Unlock()
			h.stopped <- struct{}{}
		},
	}
	if change != nil {
		change(&cfg)
	}
	h.props = actor.Props(h.system, cfg)
	return h, cfg
}

// inBranch makes a command for a branch.
func inBranch(branch string, ms ...actor.Mutation) *actor.Command {
	cmd := required(ms...)
	cmd.Branch, cmd.IfBranch = branch, branch
	return cmd
}

func (h *host) wantView(t *testing.T, r *actor.Reply, want string) {
	t.Helper()
	if r.Refusal != nil || string(r.View) != want {
		t.Errorf("got %s, refusal %v; want %s", r.View, r.Refusal, want)
	}
}

func TestBranchesHaveVersionsOfTheirOwn(t *testing.T) {
	h, _ := newTally(t, nil)
	h.wantView(t, h.ask(t, "a", inBranch("", &plus{5})), "@1=5")
	h.wantView(t, h.ask(t, "a", inBranch("gift", &fork{})), "gift@1=5")
	h.wantView(t, h.ask(t, "a", inBranch("gift", &plus{1}, &plus{2})), "gift@3=8")
	h.wantView(t, h.ask(t, "a", inBranch("", &plus{1})), "@2=6")
	h.wantView(t, h.ask(t, "a", &actor.Query{Branch: "gift"}), "gift@3=8")
	if r := h.ask(t, "a", &actor.Query{Branch: "nobody"}); code(r) != actor.CodeBranchNotFound || r.View != nil {
		t.Errorf("a branch that there is not: %s, %q", r.View, code(r))
	}
	if r := h.ask(t, "b", &actor.Query{Branch: "gift"}); r.Refusal != nil || r.Version != 0 {
		t.Errorf("a grain that does not exist: version %d, %v; want it told as such", r.Version, r.Refusal)
	}
	cmd := inBranch("gift", &plus{1})
	cmd.IfVersion = new(uint64(2))
	if r := h.ask(t, "a", cmd); code(r) != actor.CodeVersionConflict || r.Refusal.Message != "expected version 2, got 3" || r.Version != 3 || string(r.View) != "gift@3=8" {
		t.Errorf("conflict: %v, version %d, %s", r.Refusal, r.Version, r.View)
	}
	cmd.IfBranch = "" // which is at 2
	h.wantView(t, h.ask(t, "a", cmd), "gift@4=9")
	cmd = inBranch("nobody", &plus{1})
	cmd.IfVersion = new(uint64(2))
	if r := h.ask(t, "a", cmd); code(r) != actor.CodeBranchNotFound {
		t.Errorf("conflict of no branch: %v", r.Refusal)
	}
	if r := h.ask(t, "a", keyed("k", 1, inBranch("nobody", &plus{0}))); code(r) != actor.CodeBranchNotFound {
		t.Errorf("no change of no branch: %v", r.Refusal)
	}
	h.wantView(t, h.ask(t, "a", keyed("k", 1, inBranch("gift", &plus{0}))), "gift@5=9")
	h.wantView(t, h.ask(t, "a", keyed("k", 1, inBranch("gift", &plus{0}))), "gift@5=9")
	var got []string
	for _, ev := range h.log.events("a") {
		got = append(got, fmt.Sprint(ev.Branch, ev.Version, ev.Type))
	}
	if want := []string{"1Plus", "gift1Fork", "gift2Plus", "gift3Plus", "2Plus", "gift4Plus", "gift5NoChange"}; !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
	h.end(t, "a")
	h.wantView(t, h.ask(t, "a", &actor.Query{Branch: "gift"}), "gift@5=9")
	h.wantView(t, h.ask(t, "a", &actor.Query{}), "@2=6")
}

func TestOnlyMainHasErrandsAndWhatIsDueAndIsListed(t *testing.T) {
	var changed, errands, due int
	h, _ := newTally(t, func(c *actor.Config[tally]) {
		c.Changed = func(string, *tally, actor.Info) func() { changed++; return nil }
		c.Errands = func(string, *tally) []actor.Errand { errands++; return nil }
		c.Send = func(string, []actor.Errand) {}
		c.Due = func(*tally, actor.Info, actor.Mutation, time.Time) actor.Mutation { due++; return nil }
	})
	h.ask(t, "a", inBranch("", &plus{5}))
	before := [...]int{changed, errands, due}
	h.ask(t, "a", inBranch("gift", &fork{}))
	h.ask(t, "a", inBranch("gift", &plus{5}))
	if after := [...]int{changed, errands, due}; after != before {
		t.Errorf("asked %v times, before the branch %v", after, before)
	}
}

// While a commit waits, those who look at one branch share one view, and none of another.
func TestViewsOfBranchesAreSharedWhileACommitWaits(t *testing.T) {
	shown := map[string]int{}
	h, _ := newTally(t, func(c *actor.Config[tally]) {
		view := c.View
		c.View = func(dst []byte, s *tally, info actor.Info) []byte { shown[info.Branch]++; return view(dst, s, info) }
	})
	h.ask(t, "a", inBranch("", &plus{5}))
	h.ask(t, "a", inBranch("gift", &fork{}))
	h.log.hold()
	first := h.send("a", inBranch("gift", &plus{1}))
	h.awaitQueued(1)
	clear(shown)
	var futures []interface{ Result() (any, error) }
	for _, branch := range []string{"gift", "gift", "", "gift", ""} {
		futures = append(futures, h.send("a", &actor.Query{Branch: branch}))
	}
	second := inBranch("gift", &plus{1}) // behind them
	second.Minimal = true
	h.send("a", second)
	h.awaitQueued(2)
	if want := map[string]int{"gift": 1, "": 1}; !maps.Equal(shown, want) {
		t.Errorf("views were made %v times, want %v", shown, want)
	}
	h.log.decide(nil)
	if err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	var views []*actor.Reply
	for _, f := range futures {
		r, err := f.Result()
		if err != nil {
			t.Fatal(err)
		}
		views = append(views, r.(*actor.Reply))
	}
	h.wantView(t, views[0], "gift@2=6")
	h.wantView(t, views[1], "gift@2=6")
	h.wantView(t, views[2], "@1=5")
}

// story makes a log of a grain with branches, by one command after the other, and notes what was to be seen after each.
func story(t *testing.T, h *host, steps int) (views map[string][]string) {
	views = map[string][]string{}
	for i := range steps {
		branch, m := []string{"", "x", "y"}[i%3], actor.Mutation(&plus{i + 1})
		if i > 0 && i < 3 {
			m = &fork{}
		}
		r := h.ask(t, "a", keyed(fmt.Sprint("k", i), uint64(i), inBranch(branch, m)))
		if r.Refusal != nil {
			t.Fatal(r.Refusal)
		}
		views[branch] = append(views[branch], string(r.View))
	}
	return views
}

func TestSnapshotsHaveTheVersionsOfBranches(t *testing.T) {
	h, cfg := newTally(t, nil)
	views := story(t, h, 700)
	if n := h.log.snapshots("a"); !slices.Equal(n, []int{257, 514}) {
		t.Fatalf("snapshots after %v events", n)
	}
	h.end(t, "a")
	for branch, all := range views {
		h.wantView(t, h.ask(t, "a", &actor.Query{Branch: branch}), all[len(all)-1])
	}
	if h.replayed != 700-514 {
		t.Errorf("%d events were replayed", h.replayed)
	}
	events := h.log.events("a")
	replay := actor.NewReplay(cfg, "a")
	for _, ev := range events[:257] {
		replay.Apply(ev)
	}
	sound := h.log.saved["a"][0].data
	if diff, err := replay.Compare(sound); err != nil || diff != "" {
		t.Errorf("a sound snapshot: %q, %v", diff, err)
	}
	other := slices.Clone(sound)
	at := strings.Index(string(other), "\x01x") + 2
	other[at]++
	if diff, err := replay.Compare(other); err != nil || diff != "branch x at version 87, a replay gives 86" {
		t.Errorf("another version of a branch: %q, %v", diff, err)
	}
	for cut := range len(sound) - len("=1") {
		if diff, err := replay.Compare(sound[:cut]); err == nil && diff == "" {
			t.Fatalf("a snapshot cut at byte %d of %d is taken", cut, len(sound))
		}
	}
}

// recalled reads a log as a store does.
func recalled(h *host, id string) func(load func([]byte) error) iter.Seq2[actor.Event, error] {
	return func(load func([]byte) error) iter.Seq2[actor.Event, error] {
		c := &memoryClaim{log: h.log, id: id}
		return c.Replay(context.Background(), load)
	}
}

func TestEveryVersionOfEveryBranchCanBeRebuilt(t *testing.T) {
	now := time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)
	h, cfg := newTally(t, func(c *actor.Config[tally]) {
		c.Now = func() time.Time { now = now.Add(time.Second); return now }
	})
	const steps = 700
	views, events := story(t, h, steps), h.log.events("a")
	show := func(m actor.Moment) string {
		r, err := actor.RebuildAt(cfg, "a", m, recalled(h, "a"))
		if err != nil {
			t.Fatal(err)
		}
		return string(cfg.View(nil, r.State(), r.Info(m.Branch)))
	}
	rapid.Check(t, func(rt *rapid.T) {
		branch := rapid.SampledFrom([]string{"", "x", "y"}).Draw(rt, "branch")
		version := rapid.IntRange(1, len(views[branch])).Draw(rt, "version")
		if got, want := show(actor.Moment{Branch: branch, Version: uint64(version)}), views[branch][version-1]; got != want {
			rt.Fatalf("version %d of %q is %s, was %s", version, branch, got, want)
		}
		step := rapid.IntRange(3, steps).Draw(rt, "event")
		last := (step - 1 - slices.Index([]string{"", "x", "y"}, branch)) / 3
		if got, want := show(actor.Moment{Branch: branch, At: events[step-1].Time}), views[branch][last]; got != want {
			rt.Fatalf("at event %d %q is %s, was %s", step, branch, got, want)
		}
	})
	// What the branches have in common is of the moment, too, whichever snapshot it is read from.
	then := map[string]uint64{}
	for _, ev := range events {
		then[ev.Branch] = ev.Version
		for _, m := range []actor.Moment{{Branch: ev.Branch, At: ev.Time}, {Branch: ev.Branch, Version: ev.Version}} {
			r, err := actor.RebuildAt(cfg, "a", m, recalled(h, "a"))
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range []string{"", "x", "y"} {
				if got := r.Info(other).Version; got != then[other] && (ev.Branch != "" || m.Version == 0) { // to main the others' events mean nothing
					t.Fatalf("%+v: %q is at version %d, was at %d", m, other, got, then[other])
				}
			}
		}
	}
	for _, m := range []actor.Moment{{Branch: "y", At: events[1].Time}, {Branch: "nobody"}, {Branch: "nobody", Version: 3}} {
		if got := show(m); !strings.Contains(got, "@0=") {
			t.Errorf("%+v: got %s, want no version", m, got)
		}
	}
	if got := show(actor.Moment{Branch: "x", Version: 9999}); !strings.HasPrefix(got, fmt.Sprintf("x@%d=", len(views["x"]))) {
		t.Errorf("a version that is to come: got %s, want the last one", got)
	}
	if got := show(actor.Moment{}); got != views[""][len(views[""])-1] {
		t.Errorf("the present is %s", got)
	}
	_, err := actor.RebuildAt(cfg, "a", actor.Moment{Version: 1}, func(load func([]byte) error) iter.Seq2[actor.Event, error] {
		if err := load(h.log.saved["a"][0].data); !errors.Is(err, actor.ErrTooNew) {
			t.Errorf("a newer snapshot: got %v, want ErrTooNew", err)
		}
		return recalled(h, "a")(nil)
	})
	if err != nil {
		t.Error(err)
	}
}

// The times of a grain's events never go back, whichever branch they are in.
func TestTimeGoesForwardOverAllBranches(t *testing.T) {
	now := time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)
	h, _ := newTally(t, func(c *actor.Config[tally]) {
		c.Now = func() time.Time { now = now.Add(-time.Second); return now }
	})
	story(t, h, 300)
	h.end(t, "a")
	h.ask(t, "a", inBranch("x", &plus{1}))
	events := h.log.events("a")
	for i := range events[1:] {
		if events[i+1].Time.Before(events[i].Time) {
			t.Fatalf("event %d is of %v, the one before of %v", i+1, events[i+1].Time, events[i].Time)
		}
	}
}

// FuzzLoadSnapshot: whatever a snapshot holds, it is taken as a whole or refused as a whole.
func FuzzLoadSnapshot(f *testing.F) {
	log := newMemoryLog()
	cfg := actor.Config[tally]{Kind: "tally", Registry: tallies(), Log: log, View: func(dst []byte, _ *tally, _ actor.Info) []byte { return dst },
		Snapshots: &actor.Codec[tally]{Version: 1,
			Encode: func(dst []byte, _ *tally) []byte { return dst },
			Decode: func([]byte) (*tally, error) { return &tally{}, nil }}}
	head := append([]byte{2, 1, 0, 0, 0, 0}, make([]byte, 5*8)...)
	f.Add(head)
	f.Add(append(slices.Clone(head), 0, 0, 0, 0))
	f.Add(slices.Concat(head, []byte{2, 0, 0, 0, 1, 'x'}, make([]byte, 24), []byte{1, 'y'}, make([]byte, 24)))
	f.Add(slices.Concat(head, []byte{255, 255, 255, 255, 200, 'x'}))
	f.Add(append([]byte{1}, head[1:]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range []actor.Moment{{}, {Branch: "x", Version: 3}, {Branch: "y", At: time.UnixMilli(7)}} {
			var refused error
			r, err := actor.RebuildAt(cfg, "a", m, func(load func([]byte) error) iter.Seq2[actor.Event, error] {
				refused = load(data)
				return func(func(actor.Event, error) bool) {}
			})
			if err != nil {
				t.Fatal(err)
			}
			info := r.Info(m.Branch)
			if refused != nil && info != (actor.Info{ID: "a", Branch: m.Branch}) {
				t.Errorf("refused with %v, and yet there is %+v", refused, info)
			}
			if refused == nil && m.Version > 0 && info.Version > m.Version {
				t.Errorf("%+v is from behind version %d", info, m.Version)
			}
		}
	})
}

// What hides a grain is often time alone, and nothing that is due is stored with a command for a branch.
func TestBranchOfAHiddenGrainTakesNothing(t *testing.T) {
	h, _ := newTally(t, func(c *actor.Config[tally]) {
		c.Hidden = func(s *tally, info actor.Info, _ time.Time) *actor.Refusal {
			if (*s)[""] > 9 {
				return actor.Refuse("too_much", "main has more than 9")
			}
			return nil
		}
	})
	h.ask(t, "a", inBranch("", &plus{5}))
	h.ask(t, "a", inBranch("gift", &fork{}))
	h.ask(t, "a", inBranch("", &plus{5}))
	if r := h.ask(t, "a", inBranch("gift", &plus{1})); code(r) != "too_much" || r.View != nil {
		t.Errorf("got %s, refusal %v; want it hidden", r.View, r.Refusal)
	}
	if n := len(h.log.events("a")); n != 3 {
		t.Errorf("%d events are stored, want 3", n)
	}
}
