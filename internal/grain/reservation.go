package grain

import (
	"slices"
	"strconv"
	"strings"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// settlement is a use of a voucher that was kept for this cart, and what has become of it.
type settlement struct {
	code, reservation string
	used              bool // by the order; else it is given back
}

// limited reports whether other carts have a say in the use of the voucher.
func (t *terms) limited() bool { return t.usageLimit > 0 || t.oncePerUser }

// CodeReservation refuses a checkout whose vouchers have not kept a use for it, or not for this one. It means: look which
// ones the cart has now, and ask them.
const CodeReservation = "voucher_not_reserved"

func reservationNeeded() error {
	return actor.Refuse(CodeReservation, "A voucher of the cart may be used so many times only, and no use is kept for this checkout.")
}

// checkReserved returns nil if a use is kept of every limited voucher that takes something off. There may be others among
// those that m names: vouchers that have stopped to apply, or have gone.
func (c *Cart) checkReserved(m *messages.InitializeCheckout, now reckoned) error {
	if !m.LimitsHeld { // an event from before there were limits
		if m.Reservation != "" || len(m.Reserved) > 0 {
			return invalid("limitsHeld", "Vouchers are reserved only where their limits are held.")
		}
		return nil
	}
	if len(m.Reserved) > maxVouchers {
		return invalid("reserved", "At most %d vouchers can be reserved.", maxVouchers)
	}
	for _, code := range m.Reserved {
		if err := checkWord(field{"reserved", code, maxSKUBytes}); err != nil {
			return err
		}
	}
	if len(m.Reserved) > 0 {
		if err := checkWord(field{"reservation", m.Reservation, maxReservationBytes}); err != nil {
			return err
		}
		if len(c.settlements) > maxSettlements {
			return actor.Refuse(actor.CodeUnavailable, "Vouchers have yet to be told of the checkouts before.")
		}
	}
	for i := range c.vouchers {
		v := &c.vouchers[i]
		if v.terms.limited() && now.vouchers[i].obstacle == applies && !slices.Contains(m.Reserved, v.terms.code) {
			return reservationNeeded()
		}
	}
	return nil
}

// holdReserved notes what is kept for the checkout that begins; what it does not need is given back.
func (c *Cart) holdReserved(m *messages.InitializeCheckout) {
	if len(m.Reserved) == 0 {
		return
	}
	c.reservation = m.Reservation
	var needless []settlement
	for _, code := range slices.Compact(slices.Sorted(slices.Values(m.Reserved))) {
		at := slices.IndexFunc(c.vouchers, func(v voucher) bool { return v.terms.code == code })
		if at >= 0 && c.vouchers[at].terms.limited() && c.vouchers[at].obstacle == applies {
			c.vouchers[at].reserved = true
		} else {
			needless = append(needless, settlement{code, m.Reservation, false})
		}
	}
	c.settlements = slices.Concat(c.settlements, needless)
}

// settleUses ends what is kept for the checkout: an order has used it, or it is given back. An ordered cart still knows
// what it was.
func (c *Cart) settleUses(used bool) {
	var ended []settlement
	for i := range c.vouchers {
		if v := &c.vouchers[i]; v.reserved {
			ended = append(ended, settlement{v.terms.code, c.reservation, used})
			v.reserved = used
		}
	}
	if !used {
		c.reservation = ""
	}
	c.settlements = slices.Concat(c.settlements, ended)
}

// refuseVoucher bars a voucher that is used up, whoever asks it to take something off, until its code is added again.
func refuseVoucher(c *Cart, m *messages.VoucherRefused, _ actor.Meta) error {
	barred := usedUp
	switch m.Reason {
	case ReasonUsedUp:
	case ReasonUsedByUser:
		barred = usedByUser
	default:
		return invalid("reason", "reason must be usedUp or usedByUser.")
	}
	at := slices.IndexFunc(c.vouchers, func(v voucher) bool { return v.terms.code == m.Code })
	if at < 0 {
		return actor.Refuse(codeVoucherNotFound, "The cart has no voucher %.64q.", m.Code)
	}
	if c.vouchers[at].barred == barred {
		return actor.NoChange
	}
	c.vouchers[at].barred = barred
	return nil
}

// endSettlement forgets what a voucher knows now, whatever the cart has become since.
func endSettlement(c *Cart, m *messages.VoucherSettled, _ actor.Meta) error {
	at := slices.IndexFunc(c.settlements, func(s settlement) bool { return s.code == m.Code && s.reservation == m.Reservation })
	if at < 0 {
		return actor.NoChange
	}
	c.settlements = slices.Concat(c.settlements[:at], c.settlements[at+1:])
	return nil
}

// lapsedVoucher says whether the cart still wants what a voucher has kept for it: it refuses to let it go while it is
// being paid with it (frozen), and if it was ordered with it (ordered). Otherwise it does not, and never will again.
func lapsedVoucher(c *Cart, m *messages.VoucherLapsed, _ actor.Meta) error {
	held := func(v voucher) bool { return v.reserved && v.terms.code == m.Code }
	if c.reservation == "" || c.reservation != m.Reservation || !slices.ContainsFunc(c.vouchers, held) {
		return actor.NoChange
	}
	return c.frozen()
}

// settlementErrand tells a voucher what has become of the use that it keeps for the cart.
func (c *Cart) settlementErrand(id string, s settlement) actor.Errand {
	var tell actor.Mutation = &messages.UseReleased{Cart: id, Reservation: s.reservation}
	if s.used {
		tell = &messages.UseConfirmed{Cart: id, Reservation: s.reservation, UserId: c.userID}
	}
	return actor.Errand{
		Name: strings.Join([]string{"voucher", s.code, s.reservation}, " "),
		Kind: string(eventlog.KindVoucher), To: VoucherStream(s.code),
		Command: settling(tell),
		Report: func(*actor.Reply) actor.Command {
			return settling(&messages.VoucherSettled{Code: s.code, Reservation: s.reservation})
		},
	}
}

// settling is a command that ends something.
func settling(m actor.Mutation) actor.Command {
	return actor.Command{Steps: []actor.Step{{Mutation: m}}, Minimal: true, Settles: true}
}

// Limited is a voucher of a cart that other carts have a say in.
type Limited struct {
	Code        string
	Limit       int64 // of uses among all carts; 0: none
	OncePerUser bool
	Applied     bool // it takes something off, as of the last change
}

// LimitedVouchers returns those that are not barred, from the view of a cart's vouchers: code, applied and rules of each.
func LimitedVouchers(vouchers []VoucherView) (all []Limited) {
	for _, v := range vouchers {
		l := Limited{Code: v.Code, Applied: v.Applied}
		for _, rule := range v.Rules {
			if n, ok := strings.CutPrefix(rule, ruleUsageLimit); ok {
				l.Limit, _ = strconv.ParseInt(n, 10, 64) // appendRules has written it
			}
			l.OncePerUser = l.OncePerUser || rule == ruleOncePerUser
		}
		barred := v.Reason == reasonUsedUp || v.Reason == reasonUsedByUser
		if (l.Limit > 0 || l.OncePerUser) && !barred {
			all = append(all, l)
		}
	}
	return all
}

// VoucherView is a voucher as a cart's view has it.
type VoucherView struct {
	Code    string   `json:"code"`
	Applied bool     `json:"applied"`
	Reason  string   `json:"reason"`
	Rules   []string `json:"rules"`
}
