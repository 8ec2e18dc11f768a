package grain

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// branched is a cart with branches, as its grain has them.
type branched struct {
	bench
	heads map[string]uint64 // "" is main, whose version the bench has too
	clock uint64            // events of all branches
	log   []branchEvent
}

type branchEvent struct {
	event
	branch string
}

func newBranched() *branched { return &branched{bench: *newBench(), heads: map[string]uint64{}} }

// on applies a mutation to a branch, by way of what would be stored.
func (b *branched) on(branch string, m actor.Mutation) error {
	name, _ := b.registry.Name(m)
	payload, err := AppendPayload(nil, m)
	if err != nil {
		return err
	}
	meta := metaAt(b.clock + 1)
	meta.Branch, meta.Version = branch, b.heads[branch]+1
	if err := b.registry.Apply(&b.cart, m, meta); err != nil {
		return err
	}
	b.clock++
	b.heads[branch]++
	b.version = b.heads[""]
	b.log = append(b.log, branchEvent{event{name, payload, meta}, branch})
	return nil
}

// fork makes a branch of another one as it is now.
func (b *branched) fork(name, from string) error {
	m := b.cart.shown(from).content()
	m.From, m.Version = from, b.heads[from]
	if from == "" {
		m.From = MainBranch
	}
	return b.on(name, m)
}

func (b *branched) mustOn(t testing.TB, branch string, mutations ...actor.Mutation) {
	t.Helper()
	for _, m := range mutations {
		if err := b.on(branch, m); err != nil {
			t.Fatalf("%T %v on %q: %v, want it accepted", m, m, branch, err)
		}
	}
}

func (b *branched) mustFork(t testing.TB, name, from string) {
	t.Helper()
	if err := b.fork(name, from); err != nil {
		t.Fatalf("fork %q from %q: %v", name, from, err)
	}
}

// refusedOn applies a mutation to a branch, which has to be refused and change nothing.
func (b *branched) refusedOn(t testing.TB, branch string, m actor.Mutation, code, field string) {
	t.Helper()
	before := b.cart.Clone()
	err := b.on(branch, m)
	if r, ok := errors.AsType[*actor.Refusal](err); !ok || r.Code != code || r.Field != field {
		t.Errorf("%T on %q: got %v, want %s of %q", m, branch, err, code, field)
	}
	if diff := diffCarts(before, &b.cart); diff != "" {
		t.Errorf("%T on %q: refused, and yet the cart changed (-before +after):\n%s", m, branch, diff)
	}
}

// prepare makes a cart of mutations of main; if it is one, with a branch of the beginning that has gone on, and a closed one.
func (b *branched) prepare(t testing.TB, mutations []actor.Mutation) {
	t.Helper()
	for i, m := range mutations {
		b.mustOn(t, "", m)
		if i == min(len(fullCart()), len(mutations))-1 {
			b.mustFork(t, "gift", "")
			b.mustOn(t, "gift", item("G", 1, 10, 2500))
			b.mustFork(t, "closed", "gift")
			b.mustOn(t, "closed", &messages.BranchDeleted{})
		}
	}
}

func (b *branched) viewOf(branch string) []byte {
	info := b.info()
	info.Branch, info.Version, info.Updated = branch, b.heads[branch], metaAt(b.heads[branch]).Time
	return AppendView(nil, &b.cart, info)
}

// names returns main and the open branches.
func (b *branched) names() []string {
	names := []string{""}
	for _, br := range b.cart.branches {
		if br.cart != nil {
			names = append(names, br.name)
		}
	}
	return names
}

// check is checkCart for all branches.
func (b *branched) check() error {
	for _, name := range b.names() {
		if err := checkCart(b.cart.shown(name)); err != nil {
			return fmt.Errorf("branch %q: %w", name, err)
		}
	}
	for _, br := range b.cart.branches {
		if br.cart != nil && br.cart.common() != (common{}) {
			return fmt.Errorf("branch %q keeps %v, which is the cart's", br.name, br.cart.common())
		}
	}
	return nil
}

// replayed returns what the log makes.
func (b *branched) replayed(t interface{ Fatalf(string, ...any) }) *branched {
	again := newBranched()
	again.follow(t, b.log)
	return again
}

// follow applies events of a log.
func (b *branched) follow(t interface{ Fatalf(string, ...any) }, log []branchEvent) {
	for _, ev := range log {
		m, err := b.registry.Decode(ev.name, ev.payload)
		if err != nil {
			t.Fatalf("decode %s %s: %v", ev.name, ev.payload, err)
		}
		if err := b.on(ev.branch, m); err != nil {
			t.Fatalf("replay %s %s on %q: %v", ev.name, ev.payload, ev.branch, err)
		}
	}
}

// sameBranches fails unless all branches of both are the same, inside and to those who ask.
func sameBranches(t interface{ Fatalf(string, ...any) }, what string, want, got *branched) {
	if diff := diffCarts(&want.cart, &got.cart); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
	for _, name := range want.names() {
		if a, b := string(want.viewOf(name)), string(got.viewOf(name)); a != b {
			t.Fatalf("%s: branch %q is\n%s\nwant\n%s", what, name, b, a)
		}
	}
}

// ids notes which ids there ever were, in any branch: what one names first it names for ever.
type ids struct {
	lines, vouchers, deliveries map[uint32]string
	last                        common
}

func newIDs() *ids {
	return &ids{map[uint32]string{}, map[uint32]string{}, map[uint32]string{}, common{}}
}

func (s *ids) note(t *rapid.T, b *branched) {
	name := func(kind string, of map[uint32]string, last uint32, id uint32, what string) {
		if known, ok := of[id]; ok && known != what {
			t.Fatalf("%s %d was %s and is %s", kind, id, known, what)
		} else if !ok && id <= last {
			t.Fatalf("%s %d is new and not above %d", kind, id, last)
		}
		of[id] = what
	}
	for _, branch := range b.names() {
		c := b.cart.shown(branch)
		for _, l := range c.lines {
			name("line", s.lines, s.last.lastLine, l.id, l.product.sku)
		}
		for _, v := range c.vouchers {
			name("voucher", s.vouchers, s.last.lastVoucher, v.id, v.terms.code)
		}
		for _, d := range c.deliveries {
			name("delivery", s.deliveries, s.last.lastDelivery, d.id, d.provider)
		}
	}
	s.last = b.cart.common()
}

func TestBranchesGoTheirOwnWays(t *testing.T) {
	branches := []string{"", "", "a", "b", "c-1"}
	rapid.Check(t, func(t *rapid.T) {
		b, seen := newBranched(), newIDs()
		cut := rapid.IntRange(0, 40).Draw(t, "snapshot after")
		var fromState *branched
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			if len(b.log) >= cut && fromState == nil {
				fromState = b.restored(t)
			}
			views := map[string]string{}
			for _, name := range b.names() {
				views[name] = string(b.viewOf(name))
			}
			before := b.cart.Clone()
			branch := rapid.SampledFrom(branches).Draw(t, "branch")
			var err error
			var m actor.Mutation
			switch rapid.IntRange(0, 11).Draw(t, "what") {
			case 0, 1:
				err = b.fork(branch, rapid.SampledFrom(b.names()).Draw(t, "from"))
			case 2:
				m = &messages.BranchPromoted{Branch: branch}
				if err = b.on("", m); err == nil || errors.Is(err, actor.NoChange) {
					if b.cart.branch(branch) == nil || !b.cart.sameContent(b.cart.shown(branch)) {
						t.Fatalf("promoted %q: main is\n%s\nthe branch\n%s", branch, b.viewOf(""), b.viewOf(branch))
					}
				}
				branch = ""
			case 3:
				m = &messages.BranchDeleted{}
				err = b.on(branch, m)
			case 4: // a batch works on a clone
				b.cart = *b.cart.Clone()
				continue
			default:
				m = mutationGen.Draw(t, "mutation")
				err = b.on(branch, m)
			}
			if err != nil {
				if _, refused := errors.AsType[*actor.Refusal](err); !refused && !errors.Is(err, actor.NoChange) {
					t.Fatalf("%T on %q: got %v, want a refusal or NoChange", m, branch, err)
				}
				if diff := diffCarts(before, &b.cart); diff != "" {
					t.Fatalf("%T on %q: got %v, and yet the cart changed (-before +after):\n%s", m, branch, err, diff)
				}
			}
			if err := b.check(); err != nil {
				t.Fatalf("after %T on %q: %v", m, branch, err)
			}
			for _, name := range b.names() {
				_, bound := m.(*messages.SetUserId)
				if was, ok := views[name]; ok && name != branch && !bound && was != string(b.viewOf(name)) {
					t.Fatalf("%T on %q changed %q:\n%s\nto\n%s", m, branch, name, was, b.viewOf(name))
				}
			}
			seen.note(t, b)
		}
		sameBranches(t, "replay", b, b.replayed(t))
		sameBranches(t, "state", b, b.restored(t))
		if fromState != nil {
			fromState.follow(t, b.log[len(fromState.log):])
			sameBranches(t, "state and tail", b, fromState)
		}
	})
}

// restored returns the cart that comes back from a snapshot.
func (b *branched) restored(t *rapid.T) *branched {
	c, err := decodeState(appendState(nil, &b.cart))
	if err != nil {
		t.Fatalf("decode what was encoded: %v", err)
	}
	return &branched{bench: bench{b.registry, *c, b.version}, heads: maps.Clone(b.heads), clock: b.clock, log: slices.Clone(b.log)}
}

func TestForkHasTheContentAndNothingThatIsMains(t *testing.T) {
	b := newBranched()
	b.prepare(t, limitedCart()) // in checkout, with reservations
	b.mustFork(t, "what-if", "")
	c := b.cart.shown("what-if")
	if c.status != StatusOpen || c.orderID != "" || c.reservation != "" || slices.ContainsFunc(c.vouchers, func(v voucher) bool { return v.reserved }) {
		t.Errorf("the branch is %s", b.viewOf("what-if"))
	}
	if c.total() != b.cart.total() || !b.cart.sameContent(c) || c.userID != "u-1" {
		t.Errorf("the branch has\n%s\nmain\n%s", b.viewOf("what-if"), b.viewOf(""))
	}
	b.mustOn(t, "what-if", &messages.ClearCart{}) // main is frozen, and that is all the same to it
	b.refusedOn(t, "", &messages.BranchPromoted{Branch: "what-if"}, codeFrozen, "")
	b.mustOn(t, "", &messages.AbortCheckout{}, &messages.SetUserId{UserId: "u-2", Rebind: true}, &messages.BranchPromoted{Branch: "what-if"})
	if !b.cart.Empty() || b.cart.userID != "u-2" || b.cart.shown("gift").userID != "u-2" {
		t.Errorf("main is %s", b.viewOf(""))
	}
	if err := b.on("", &messages.BranchPromoted{Branch: "what-if"}); !errors.Is(err, actor.NoChange) {
		t.Errorf("promoted again: got %v, want NoChange", err)
	}
}

func TestIDsAreCountedOnceForAllBranches(t *testing.T) {
	b := newBranched()
	b.mustOn(t, "", item("A", 1, 100, 2500))
	b.mustFork(t, "x", "")
	b.mustOn(t, "x", item("B", 1, 100, 2500))
	b.mustOn(t, "", item("C", 1, 100, 2500))
	b.mustOn(t, "x", &messages.BranchDeleted{})
	b.mustOn(t, "", item("D", 1, 100, 2500))
	var ids []uint32
	for _, l := range b.cart.lines {
		ids = append(ids, l.id)
	}
	if !slices.Equal(ids, []uint32{1, 3, 4}) {
		t.Errorf("lines %v, want 1, 3 and 4: the second was the branch's", ids)
	}
}

// VAT is rounded in one way in a cart, whichever branch had its first line.
func TestFirstLineOfABranchDecidesHowTheCartRounds(t *testing.T) {
	b := newBranched()
	b.mustOn(t, "", &messages.CartCreated{})
	b.mustFork(t, "x", "")
	first := item("A", 3, 108, 1900)
	first.PriceExVat, first.TaxLevel = true, "unit"
	b.mustOn(t, "x", first)
	second := item("A", 3, 108, 1900)
	second.PriceExVat = true
	b.mustOn(t, "", second)
	if got := b.cart.total().inc; got != 387 {
		t.Errorf("total %d, want 387: rounded on the unit", got)
	}
}

func TestWhatIsMainsAloneIsRefusedElsewhere(t *testing.T) {
	for _, m := range everyMutation() {
		b := newBranched()
		b.prepare(t, fullCart())
		switch m.(type) {
		case *messages.CartCreated, *messages.CartDeleted, *messages.SetUserId, *messages.InitializeCheckout, *messages.AbortCheckout, *messages.CheckoutExpired,
			*messages.OrderCreated, *messages.MergeCart, *messages.MergeStarted, *messages.CartMerged, *messages.MergeAborted,
			*messages.VoucherRefused, *messages.VoucherSettled, *messages.VoucherLapsed, *messages.BranchPromoted, *messages.CartExpired:
			b.refusedOn(t, "gift", m, codeInvalid, "branch")
		case *messages.BranchForked:
			b.refusedOn(t, "gift", m, codeBranchExists, "")
			continue
		default:
			if err := b.on("gift", m); err != nil {
				if r, ok := errors.AsType[*actor.Refusal](err); ok && r.Field == "branch" {
					t.Errorf("%T: got %v, want a branch to take it", m, err)
				}
			}
		}
		b.refusedOn(t, "nobody", m, actor.CodeBranchNotFound, "")
		b.refusedOn(t, "closed", m, actor.CodeBranchNotFound, "")
	}
}

func TestBranchesEndWithTheCart(t *testing.T) {
	b := newBranched()
	if err := b.fork("x", ""); err == nil {
		t.Error("a cart that does not exist was forked")
	}
	b.prepare(t, fullCart())
	b.mustOn(t, "", &messages.CartDeleted{})
	b.refusedOn(t, "gift", item("A", 1, 1, 0), codeDeleted, "")
	b.refusedOn(t, "x", &messages.BranchForked{From: MainBranch, Version: 1}, codeDeleted, "")
	b.refusedOn(t, "", &messages.BranchDeleted{}, codeInvalid, "branch")
}

func TestNamesAreTakenForEverAndBounded(t *testing.T) {
	b := newBranched()
	b.mustOn(t, "", item("A", 1, 1, 0))
	fork := &messages.BranchForked{From: MainBranch, Version: 1}
	for _, name := range []string{"", MainBranch, "Gift", "-x", "x y", strings.Repeat("x", 33)} {
		b.refusedOn(t, name, fork, codeInvalid, "name")
	}
	b.refusedOn(t, "x", &messages.BranchForked{From: "Main", Version: 1}, codeInvalid, "fromVersion")
	b.refusedOn(t, "x", &messages.BranchForked{From: MainBranch}, codeInvalid, "fromVersion")
	for i := range maxBranches {
		b.mustFork(t, fmt.Sprint("b", i), "")
	}
	b.refusedOn(t, "one-more", fork, codeInvalid, "name")
	b.refusedOn(t, "b7", fork, codeBranchExists, "")
	b.mustOn(t, "b7", &messages.BranchDeleted{})
	b.refusedOn(t, "b7", fork, codeBranchExists, "")
	for i := range maxBranchNames - maxBranches {
		name := fmt.Sprint("c", i)
		b.mustFork(t, name, "")
		b.mustOn(t, name, &messages.BranchDeleted{})
	}
	b.refusedOn(t, "one-more", fork, codeInvalid, "name")
	c, err := decodeState(appendState(nil, &b.cart))
	if err != nil || diffCarts(&b.cart, c) != "" {
		t.Errorf("from its state: %v", err)
	}
}

func TestForksDoNotMultiplyALargeCartWithoutBound(t *testing.T) {
	b := newBranched()
	for i := range 5000 {
		b.mustOn(t, "", item(fmt.Sprint(i), 1, 1, 0))
	}
	for i := range 4 {
		b.mustFork(t, fmt.Sprint(i), "")
	}
	m := b.cart.content()
	m.From, m.Version = MainBranch, 1
	if r, ok := errors.AsType[*actor.Refusal](b.on("4", m)); !ok || r.Code != codeInvalid || r.Field != "name" {
		t.Errorf("a fifth branch of 5,000 lines: got %v, want it refused", r)
	}
	b.mustOn(t, "1", &messages.BranchDeleted{})
	b.mustFork(t, "4", "")
}

func TestForkOfContentThatNoCartHasIsRefused(t *testing.T) {
	change := map[string]func(*messages.BranchForked){
		"line without content":     func(m *messages.BranchForked) { m.Lines[0] = nil },
		"line without item":        func(m *messages.BranchForked) { m.Lines[0].Item = nil },
		"ids that descend":         func(m *messages.BranchForked) { slices.Reverse(m.Lines) },
		"id that was never given":  func(m *messages.BranchForked) { m.Lines[1].Id = 77 },
		"delivery of no line":      func(m *messages.BranchForked) { m.Deliveries[0].Lines = []uint32{99} },
		"delivery without content": func(m *messages.BranchForked) { m.Deliveries[0] = nil },
		"delivery to come":         func(m *messages.BranchForked) { m.Deliveries[1].Id = 9 },
		"voucher twice":            func(m *messages.BranchForked) { m.Vouchers[1].Terms = m.Vouchers[0].Terms },
		"voucher without terms":    func(m *messages.BranchForked) { m.Vouchers[0].Terms = nil },
		"voucher barred by time":   func(m *messages.BranchForked) { m.Vouchers[0].Barred = uint32(tooLate) },
		"voucher id 0":             func(m *messages.BranchForked) { m.Vouchers[0].Id = 0 },
		"subscription of nothing":  func(m *messages.BranchForked) { m.Subscriptions[0] = nil },
		"currency":                 func(m *messages.BranchForked) { m.Currency = "pounds" },
		"country":                  func(m *messages.BranchForked) { m.Country = "GBR" },
	}
	for what, change := range change {
		t.Run(what, func(t *testing.T) {
			b := newBranched()
			b.prepare(t, fullCart())
			m := wholeFork()
			b.mustOn(t, "sound", wholeFork())
			change(m)
			b.refusedOn(t, "x", m, codeInvalid, "content")
		})
	}
}

// testdata/state-…-branches.bin is never changed, as the mutations here are not: it stands for what is on disks.
func TestStoredStateWithBranchesIsReadForEver(t *testing.T) {
	b := newBranched()
	b.prepare(t, fullCart())
	file := filepath.Join("testdata", fmt.Sprintf("state-%d-branches.bin", stateVersion))
	if _, err := os.Stat(file); *update && errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(file, appendState(nil, &b.cart), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := decodeState(data)
	if err != nil {
		t.Fatalf("%s: %v; states like it need another stateVersion", file, err)
	}
	if diff := diffCarts(&b.cart, c); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBranchesComeBackFromASnapshot(t *testing.T) {
	for _, edit := range []func(*messages.CartState){
		func(s *messages.CartState) { s.Branches[0].Name = "Gift" },
		func(s *messages.CartState) { s.Branches[1].Name = "gift" },
		func(s *messages.CartState) { s.Branches[0].From = "" },
		func(s *messages.CartState) { s.Branches[0].Version = 0 },
		func(s *messages.CartState) { s.Branches[1].Currency = "GBP" }, // of a closed one
		func(s *messages.CartState) { s.Branches[0].TotalIncVat++ },
		func(s *messages.CartState) { s.LastLine-- },
		func(s *messages.CartState) { s.Branches[0].Lines[0].Id = 99 },
		func(s *messages.CartState) {
			*s = messages.CartState{Status: string(StatusDeleted), Rounding: s.Rounding, Branches: s.Branches}
		},
	} {
		b := newBranched()
		b.prepare(t, fullCart())
		data := appendState(nil, &b.cart)
		if c, err := decodeState(data); err != nil || diffCarts(&b.cart, c) != "" {
			t.Fatalf("from its state: %v", err)
		}
		var s messages.CartState
		if err := proto.Unmarshal(data, &s); err != nil {
			t.Fatal(err)
		}
		edit(&s)
		data, err := proto.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := decodeState(data); err == nil {
			t.Errorf("a state that no cart can have became %v", c)
		}
	}
}

// A batch works on a clone, and is refused as a whole.
func TestCloneAndOriginalNeverShareAChangeOfABranch(t *testing.T) {
	for _, m := range everyMutation() {
		b := newBranched()
		b.prepare(t, fullCart())
		clone := &branched{bench: bench{b.registry, *b.cart.Clone(), b.version}, heads: map[string]uint64{"": b.heads[""], "gift": b.heads["gift"]}, clock: b.clock}
		before := string(b.viewOf("gift"))
		_ = clone.on("gift", m)
		if got := string(b.viewOf("gift")); got != before {
			t.Errorf("%T on a clone: the original became\n%s\nit was\n%s", m, got, before)
		}
		cloned := string(clone.viewOf("gift"))
		_, _ = b.on("gift", m), b.on("gift", item("H", 1, 1, 0))
		if got := string(clone.viewOf("gift")); got != cloned {
			t.Errorf("%T on the original: the clone became\n%s\nit was\n%s", m, got, cloned)
		}
		if err := errors.Join(b.check(), clone.check()); err != nil {
			t.Errorf("%T: %v", m, err)
		}
	}
}
