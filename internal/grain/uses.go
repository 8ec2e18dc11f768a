package grain

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// Voucher is the state of a voucher with a limit: which carts use it, or have a use kept for them while they are paid. A
// cart counts once, as it is ordered once at most, however many reservations it has. The zero value is one that nobody has
// asked for yet.
//
// A use that is kept is given back by the word of its cart alone: by time alone it might be given to another cart while
// the news of an order is on its way. After its time others may ask the cart (see LapseErrands).
type Voucher struct {
	code string
	used map[string]string      // the user, "" if nobody is known, by cart
	open map[string]reservation // by name
	// What follows from those two.
	carts map[string]int // how many open reservations each cart has
	users map[string]int // how many uses and open reservations each user has
}

// reservation is a use that is kept.
type reservation struct {
	cart, user string
	until      int64 // Unix milliseconds
}

// Reasons why a voucher keeps no use for a cart: codes of its refusals, and reasons of VoucherRefused.
const (
	ReasonUsedUp     = "usedUp"
	ReasonUsedByUser = "usedByUser"
)

// maxReservations bounds what a voucher keeps for one cart: only one of them can end in an order, the others were cut off.
const maxReservations = 16

// plainCode bounds the codes that are stream names as they are. Longer than that are only those that are made from a hash.
const plainCode = 48

// VoucherStream returns the name of the stream, and so of the grain, of the voucher with a code: the code itself if it is
// up to 48 capital letters, digits, _ and -, the first a letter or digit; otherwise "h-" and its SHA-256 in base32. Two
// codes have never the same name, also on file systems that do not tell upper from lower case.
func VoucherStream(code string) string {
	if len(code) <= plainCode && eventlog.ValidName(code) && strings.ToUpper(code) == code {
		return code
	}
	sum := sha256.Sum256([]byte(code))
	return "h-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// VoucherRegistry returns the handlers of every mutation that a voucher takes. It is read-only from then on.
func VoucherRegistry() *actor.MutationRegistry[Voucher] {
	r := actor.NewMutationRegistry[Voucher]()
	registerUse(r, "UseReserved", reserveUse)
	registerUse(r, "UseReleased", releaseUse)
	registerUse(r, "UseConfirmed", confirmUse)
	return r
}

// registerUse registers h, which never sees a nil mutation.
func registerUse[M any](r *actor.MutationRegistry[Voucher], name string, h func(*Voucher, *M) error) {
	actor.Register(r, name, func(v *Voucher, m *M, _ actor.Meta) error {
		if m == nil {
			return invalid("", "%s has no content.", name)
		}
		return h(v, m)
	})
}

// VoucherConfig makes the grains of vouchers, with their logs in store. MaxEvents and Send of opts are not used: a
// voucher's log grows with its uses, and it has no errands.
func VoucherConfig(store eventlog.Store, opts Options) actor.Config[Voucher] {
	return actor.Config[Voucher]{
		Kind:      string(eventlog.KindVoucher),
		Registry:  VoucherRegistry(),
		Log:       log{store, eventlog.KindVoucher, opts.Stored},
		View:      appendUses,
		Snapshots: &actor.Codec[Voucher]{Version: 1, Encode: appendUsesState, Decode: decodeUsesState},
		Encode:    AppendPayload,
		Idle:      opts.Idle,
		Observer:  opts.Observer,
		Logger:    opts.Logger,
		Now:       opts.Now,
		Stopped:   opts.Stopped,
		MaxEvents: math.MaxInt32,
	}
}

// reserveUse keeps a use for a cart, if the limit that the cart knows leaves one.
func reserveUse(v *Voucher, m *messages.UseReserved) error {
	if err := checkUse(m.Cart, m.Reservation, m.UserId); err != nil {
		return err
	}
	if err := checkWord(field{"code", m.Code, maxSKUBytes}); err != nil {
		return err
	}
	if v.code != "" && m.Code != v.code {
		return invalid("code", "This is the voucher %q.", v.code)
	}
	if m.Limit < 0 || m.Until < 0 || m.Until > maxMoney {
		return invalid("limit", "limit and until must not be negative.")
	}
	if m.OncePerUser && m.UserId == "" {
		return invalid("userId", "A voucher that is for each user once needs a user.")
	}
	if r, ok := v.open[m.Reservation]; ok {
		if r.cart != m.Cart {
			return invalid("reservation", "The reservation is another cart's.")
		}
		return actor.NoChange
	}
	_, used := v.used[m.Cart]
	has := v.carts[m.Cart]
	switch {
	case used:
		return actor.Refuse(codeOrdered, "The cart was ordered with the voucher.")
	case has >= maxReservations:
		return actor.Refuse(actor.CodeUnavailable, "Too many checkouts of the cart have been cut off.")
	case has == 0 && m.Limit > 0 && v.uses() >= m.Limit:
		return actor.Refuse(ReasonUsedUp, "The voucher has been used as often as it may be.")
	case m.OncePerUser && v.usedByOthers(m.UserId, m.Cart):
		return actor.Refuse(ReasonUsedByUser, "The voucher is for one order of each customer.")
	}
	v.code = m.Code
	v.keep(m.Reservation, reservation{m.Cart, m.UserId, m.Until})
	return nil
}

// uses is how many carts count.
func (v *Voucher) uses() int64 { return int64(len(v.used) + len(v.carts)) }

// usedByOthers reports whether a user has a use in another cart than this one.
func (v *Voucher) usedByOthers(user, cart string) bool {
	n := v.users[user]
	if n > 0 && v.carts[cart] > 0 {
		for _, r := range v.open {
			if r.cart == cart && r.user == user {
				n--
			}
		}
	}
	return n > 0
}

func (v *Voucher) keep(name string, r reservation) {
	if v.open == nil {
		v.open, v.carts = map[string]reservation{}, map[string]int{}
	}
	v.open[name] = r
	v.carts[r.cart]++
	v.countUser(r.user, 1)
}

func (v *Voucher) drop(name string) {
	r := v.open[name]
	delete(v.open, name)
	if v.carts[r.cart]--; v.carts[r.cart] == 0 {
		delete(v.carts, r.cart)
	}
	v.countUser(r.user, -1)
}

func (v *Voucher) use(cart, user string) {
	if v.used == nil {
		v.used = map[string]string{}
	}
	v.used[cart] = user
	v.countUser(user, 1)
}

func (v *Voucher) countUser(user string, by int) {
	if user == "" {
		return
	}
	if v.users == nil {
		v.users = map[string]int{}
	}
	if v.users[user] += by; v.users[user] == 0 {
		delete(v.users, user)
	}
}

// releaseUse gives back what was kept. What is not kept is given back already, or used.
func releaseUse(v *Voucher, m *messages.UseReleased) error {
	if r, ok := v.open[m.Reservation]; !ok || r.cart != m.Cart {
		return actor.NoChange
	}
	v.drop(m.Reservation)
	return nil
}

// confirmUse notes that the cart was ordered with the voucher. That is never refused: it has happened. Other
// reservations of the cart are for nothing now.
func confirmUse(v *Voucher, m *messages.UseConfirmed) error {
	if err := checkUse(m.Cart, m.Reservation, m.UserId); err != nil {
		return err
	}
	if _, ok := v.used[m.Cart]; ok {
		return actor.NoChange
	}
	if v.carts[m.Cart] > 0 {
		for name, r := range v.open {
			if r.cart == m.Cart {
				v.drop(name)
			}
		}
	}
	v.use(m.Cart, m.UserId)
	return nil
}

func checkUse(cart, reservation, user string) error {
	if _, err := ParseCartID(cart); err != nil {
		return invalid("cart", "cart must be the id of a cart.")
	}
	if err := checkWord(field{"reservation", reservation, maxReservationBytes}); err != nil {
		return err
	}
	return checkTexts(field{"userId", user, maxUserBytes})
}

// viewOfUses is what callers see of a voucher. It is seen by cartd alone.
type viewOfUses struct {
	Code string         `json:"code"`
	Uses int64          `json:"uses"` // carts that use it or are being paid with it
	Used int            `json:"used"` // carts that were ordered with it
	Open []viewOfKeeper `json:"open"` // the reservations that end first, at most maxShown
}

type viewOfKeeper struct {
	Reservation string `json:"reservation"`
	Cart        string `json:"cart"`
	UserID      string `json:"userId,omitzero"`
	Until       int64  `json:"until"`
}

const maxShown = 64

func appendUses(dst []byte, v *Voucher, _ actor.Info) []byte {
	view := viewOfUses{Code: v.code, Uses: v.uses(), Used: len(v.used), Open: []viewOfKeeper{}}
	for name, r := range v.open {
		view.Open = append(view.Open, viewOfKeeper{name, r.cart, r.user, r.until})
	}
	slices.SortFunc(view.Open, func(a, b viewOfKeeper) int {
		return cmp.Or(cmp.Compare(a.Until, b.Until), cmp.Compare(a.Reservation, b.Reservation))
	})
	view.Open = view.Open[:min(len(view.Open), maxShown)]
	b, err := json.Marshal(view)
	if err != nil {
		return append(dst, "{}"...) // not reached: there is nothing in it that JSON has not
	}
	return append(dst, b...)
}

// Uses returns how many other carts than cart the view of a voucher counts, as far as it shows them, and the errands that ask
// those carts whose reservations have been kept for longer than their checkouts last, whether they still want them.
func Uses(view []byte, cart string, now time.Time) (uses int64, lapsed []actor.Errand, err error) {
	var v viewOfUses
	if err := json.Unmarshal(view, &v); err != nil {
		return 0, nil, err
	}
	for _, k := range v.Open {
		if now.UnixMilli() > k.Until {
			lapsed = append(lapsed, lapseErrand(v.Code, k))
		}
	}
	if slices.ContainsFunc(v.Open, func(k viewOfKeeper) bool { return k.Cart == cart }) {
		v.Uses--
	}
	return v.Uses, lapsed, nil
}

// lapseErrand is one of the voucher's: the cart is asked, and the voucher told.
func lapseErrand(code string, k viewOfKeeper) actor.Errand {
	return actor.Errand{
		Name: "lapsed " + k.Reservation,
		Kind: string(eventlog.KindCart), To: k.Cart,
		Command: settling(&messages.VoucherLapsed{Code: code, Reservation: k.Reservation}),
		Report: func(decided *actor.Reply) actor.Command {
			switch {
			case decided.Refusal == nil:
				return settling(&messages.UseReleased{Cart: k.Cart, Reservation: k.Reservation})
			case decided.Refusal.Code == codeOrdered:
				return settling(&messages.UseConfirmed{Cart: k.Cart, Reservation: k.Reservation, UserId: k.UserID})
			}
			return actor.Command{} // it is still being paid
		},
	}
}

// ReleaseErrand gives back what was kept for a cart that was not frozen with it.
func ReleaseErrand(code, cart, reservation string) actor.Errand {
	return actor.Errand{
		Name: "unused " + reservation,
		Kind: string(eventlog.KindVoucher), To: VoucherStream(code),
		Command: settling(&messages.UseReleased{Cart: cart, Reservation: reservation}),
	}
}
