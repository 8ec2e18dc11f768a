package grain

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// headOf returns the cart without what it holds.
func headOf(s *messages.CartState) (*Cart, error) {
	c := &Cart{status: Status(s.Status), currency: s.Currency, country: s.Country, userID: s.UserId,
		orderID: s.OrderId, paymentStatus: s.PaymentStatus}
	switch c.status {
	case "", StatusDeleted, StatusExpired:
		left := &messages.CartState{Rounding: s.Rounding, PerUnit: s.PerUnit, Status: s.Status}
		if c.status == StatusDeleted {
			left.UserId, left.Settlements = s.UserId, s.Settlements
		}
		if c.status == StatusExpired {
			left.UserId = s.UserId
		}
		if !proto.Equal(s, left) {
			return nil, fmt.Errorf("status %q, and yet there is something in it", c.status)
		}
	case StatusOpen, StatusMerged:
		if c.orderID != "" {
			return nil, fmt.Errorf("status %q, and yet it has order %q", c.status, c.orderID)
		}
	case StatusCheckout, StatusOrdered:
		if len(s.Lines) == 0 {
			return nil, fmt.Errorf("status %q without lines", c.status)
		}
		if err := checkWord(field{"orderId", c.orderID, maxOrderBytes}); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown status %q", c.status)
	}
	if (s.CheckoutUntil != 0) != (c.status == StatusCheckout) || s.CheckoutUntil < 0 || s.CheckoutUntil > maxMoney {
		return nil, fmt.Errorf("status %q, and yet a checkout until %d", c.status, s.CheckoutUntil)
	}
	if s.CheckoutUntil != 0 {
		c.checkoutUntil = time.UnixMilli(s.CheckoutUntil).UTC()
	}
	if c.paymentStatus != "" && c.status != StatusOrdered {
		return nil, fmt.Errorf("status %q, and yet it has payment status %q", c.status, c.paymentStatus)
	}
	if err := checkTexts(field{"paymentStatus", c.paymentStatus, maxStatusBytes}); err != nil {
		return nil, err
	}
	if c.userID != "" {
		if err := checkWord(field{"userId", c.userID, maxUserBytes}); err != nil {
			return nil, err
		}
	}
	if country, err := checkCountry("country", c.country); err != nil || country != c.country {
		return nil, fmt.Errorf("country %q", c.country)
	}
	return c, checkCurrency(c.currency)
}

// restoreLine appends a line. As ids ascend, its parent has to be there already.
func restoreLine(c *Cart, s *messages.CartState_Line) error {
	if err := known(s, s.Item, s.Marking, s.Notice); err != nil {
		return err
	}
	if s.Item == nil {
		return errors.New("has no item")
	}
	if s.Id <= c.lastLine {
		return fmt.Errorf("comes after line %d", c.lastLine)
	}
	p, err := c.rounding.product(s.Item)
	if err != nil {
		return err
	}
	if err := checkAttributes(s.Attributes); err != nil {
		return err
	}
	p.attributes = s.Attributes
	if s.Marking != nil {
		if err := checkTexts(field{"marking", s.Marking.Marking, maxTextBytes}); err != nil {
			return err
		}
		p.marking = marking{true, s.Marking.Type, s.Marking.Marking}
	}
	if s.Item.ParentId != nil {
		if _, ok := c.lineAt(p.parent); !ok {
			return fmt.Errorf("its parent %d is not there", p.parent)
		}
	}
	if s.Item.Quantity < 1 {
		return fmt.Errorf("quantity %d", s.Item.Quantity)
	}
	l, err := c.rounding.priced(&p, s.Item.Quantity)
	if err != nil {
		return err
	}
	if err := c.fits(amount{}, l.total, "total"); err != nil {
		return err
	}
	l.product = &p
	if n := s.Notice; n != nil {
		if n.Was < -1 || n.Was > maxMoney || n.Was < 0 != n.Gone {
			return fmt.Errorf("notice of price %d, gone %t", n.Was, n.Gone)
		}
		l.notice = &notice{n.Was, n.Gone}
	}
	c.lastLine = s.Id - 1
	c.addLine(l)
	return nil
}

var errAttributes = errors.New("attributes are not as they are written")

// checkAttributes returns nil if s is what canonical makes of some attributes. It does so without making them: in a
// large cart that would be most of the work.
func checkAttributes(s string) error {
	if s == "" {
		return nil
	}
	last := ""
	for n, before := 1, "{"; ; n, before = n+1, "," {
		rest, ok := strings.CutPrefix(s, before)
		key, rest, okKey := cutText(rest)
		rest, okColon := strings.CutPrefix(rest, ":")
		value, rest, okValue := cutText(rest)
		if !ok || !okKey || !okColon || !okValue || key <= last || n > maxAttributes {
			return errAttributes
		}
		if err := checkTexts(field{"attributes", key, maxKeyBytes}, field{"attributes", value, maxTextBytes}); err != nil {
			return err
		}
		if rest == "}" {
			return nil
		}
		s, last = rest, key
	}
}

// cutText returns the text that s begins with, and what comes after it; false if it is not as appendString writes it.
func cutText(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	end, escaped := 1, false
	for ; end < len(s) && s[end] != '"'; end++ {
		if s[end] == '\\' {
			escaped = true
			end++ // a quote after it does not end the text
		}
	}
	if end >= len(s) {
		return "", s, false
	}
	literal, rest := s[:end+1], s[end+1:]
	if text = literal[1:end]; escaped {
		text = unescaped(literal)
	}
	var buf [512]byte // enough for most: more is allocated
	return text, rest, string(appendString(buf[:0], text)) == literal
}

// unescaped returns the text of a JSON string, "" if it is none.
func unescaped(literal string) (text string) {
	if json.Unmarshal([]byte(literal), &text) != nil {
		return ""
	}
	return text
}

// restoreDelivery appends a delivery, whose lines have to be there and in no other one.
func restoreDelivery(c *Cart, s *messages.CartState_Delivery) error {
	if err := known(s, s.Address, s.PickupPoint); err != nil {
		return err
	}
	if s.Id <= c.lastDelivery {
		return fmt.Errorf("comes after delivery %d", c.lastDelivery)
	}
	if err := checkWord(field{"provider", s.Provider, maxTextBytes}); err != nil {
		return err
	}
	d := delivery{id: s.Id, provider: s.Provider, lines: s.Lines, price: amount{s.PriceExVat, s.PriceIncVat}, tax: int32(s.Tax)}
	if !c.rounding.isPrice(d.price, s.Tax) {
		return fmt.Errorf("price %v at rate %d", d.price, s.Tax)
	}
	if err := c.fits(amount{}, d.price, "total"); err != nil {
		return err
	}
	var err error
	if d.address, err = checkAddress(s.Address); err != nil {
		return err
	}
	if s.PickupPoint != nil {
		if d.pickup, err = checkPickupPoint(s.PickupPoint); err != nil {
			return err
		}
	}
	lines, err := c.linesOf(s.Lines)
	if err != nil {
		return err
	}
	for _, l := range lines {
		if l.delivery != 0 {
			return fmt.Errorf("line %d is in delivery %d already", l.id, l.delivery)
		}
		at, _ := c.lineAt(l.id)
		c.lines[at].delivery = d.id
	}
	c.lastDelivery = d.id
	c.deliveries = append(c.deliveries, d)
	c.freight.add(d.price, d.tax)
	return nil
}

// isPrice reports whether a is what some price comes to at that rate, entered with VAT or without.
func (r Rounding) isPrice(a amount, tax int64) bool {
	for _, q := range [...]quote{{a.inc, int32(tax), false}, {a.ex, int32(tax), true}} {
		if checkPrice(q.price, tax) != nil {
			continue
		}
		if made, ok := r.times(q, 1); ok && made == a {
			return true
		}
	}
	return false
}

// restoreVouchers adds the vouchers and makes the discount again: by the rules that kept each of them from being applied
// at the last change, as nobody knows here when that was.
func restoreVouchers(c *Cart, states []*messages.CartState_Voucher) error {
	for _, s := range states {
		if err := known(s, s.Terms); err != nil {
			return fmt.Errorf("voucher %d: %w", s.Id, err)
		}
		if s.Terms == nil || s.Id <= c.lastVoucher || s.Obstacle > uint32(usedByUser) {
			return fmt.Errorf("voucher %d comes after %d, with obstacle %d and terms %v", s.Id, c.lastVoucher, s.Obstacle, s.Terms)
		}
		before := len(c.vouchers)
		c.lastVoucher = s.Id - 1
		if err := addVoucher(c, s.Terms, actor.Meta{}); err != nil {
			return fmt.Errorf("voucher %d: %w", s.Id, err)
		}
		if len(c.vouchers) == before {
			return fmt.Errorf("voucher %d: another has its code", s.Id)
		}
		if s.Barred != 0 && (s.Barred != s.Obstacle || s.Barred < uint32(usedUp)) || s.Barred == 0 && s.Obstacle >= uint32(usedUp) {
			return fmt.Errorf("voucher %d: barred by %d, with obstacle %d", s.Id, s.Barred, s.Obstacle)
		}
		v := &c.vouchers[before]
		v.obstacle, v.barred, v.reserved = obstacle(s.Obstacle), obstacle(s.Barred), s.Reserved
	}
	c.settle(c.reckonedBy(func(v *voucher) obstacle {
		if v.obstacle == nothingLeft {
			return applies
		}
		return v.obstacle
	}))
	for i, s := range states {
		if v := &c.vouchers[i]; v.value != s.Value || uint32(v.obstacle) != s.Obstacle {
			return fmt.Errorf("voucher %d takes off %d, not %d", v.id, v.value, s.Value)
		}
	}
	return nil
}

func restoreSubscriptions(c *Cart, states []*messages.UpsertSubscriptionDetails) error {
	last := ""
	for _, s := range states {
		id := s.GetId()
		if err := known(s); err != nil {
			return fmt.Errorf("subscription %q: %w", id, err)
		}
		if id <= last { // which an empty id is, too
			return fmt.Errorf("subscription %q comes after %q", id, last)
		}
		if err := upsertSubscription(c, s, actor.Meta{}); err != nil {
			return fmt.Errorf("subscription %q: %w", id, err)
		}
		last = id
	}
	return nil
}

// restoreMerges adds what has become of merges with other carts.
func restoreMerges(c *Cart, s *messages.CartState) error {
	if m := s.Merge; m != nil {
		if err := known(m); err != nil {
			return err
		}
		if _, err := ParseCartID(m.Into); err != nil || c.status != StatusOpen || m.Started == 0 {
			return fmt.Errorf("status %q, and yet it is being merged into %q since version %d", c.status, m.Into, m.Started)
		}
		c.merging = &merging{m.Into, m.Started, m.IfVersion}
	}
	if s.MergedInto != "" {
		if _, err := ParseCartID(s.MergedInto); err != nil || c.status != StatusMerged {
			return fmt.Errorf("status %q, and yet it was merged into %q", c.status, s.MergedInto)
		}
		c.mergedInto = s.MergedInto
	}
	if len(s.TakenOver) > maxTakenOver {
		return fmt.Errorf("has taken over %d carts", len(s.TakenOver))
	}
	for i, from := range s.TakenOver {
		if _, err := ParseCartID(from); err != nil || slices.Contains(s.TakenOver[:i], from) {
			return fmt.Errorf("has taken over cart %q, or more than once", from)
		}
	}
	c.takenOver = s.TakenOver
	return nil
}

// restoreReservations adds what vouchers keep for the cart, and what they are to be told.
func restoreReservations(c *Cart, s *messages.CartState) error {
	if s.Reservation != "" {
		if err := checkWord(field{"reservation", s.Reservation, maxReservationBytes}); err != nil {
			return err
		}
		if c.status != StatusCheckout && c.status != StatusOrdered {
			return fmt.Errorf("status %q, and yet it has reservation %q", c.status, s.Reservation)
		}
	}
	c.reservation = s.Reservation
	for i := range c.vouchers {
		if v := &c.vouchers[i]; v.reserved && (c.reservation == "" || !v.terms.limited() || v.obstacle != applies) {
			return fmt.Errorf("voucher %d is reserved by %q", v.id, c.reservation)
		}
	}
	if len(s.Settlements) > maxSettlements+2*maxVouchers {
		return fmt.Errorf("has %d settlements", len(s.Settlements))
	}
	for _, e := range s.Settlements {
		if err := known(e); err != nil {
			return err
		}
		if err := checkWord(field{"code", e.Code, maxSKUBytes}); err != nil {
			return err
		}
		if err := checkWord(field{"reservation", e.Reservation, maxReservationBytes}); err != nil {
			return err
		}
		c.settlements = append(c.settlements, settlement{e.Code, e.Reservation, e.Used})
	}
	return nil
}

// known returns an error if one of the messages, which may be nil, has a field that this program does not know: what
// it would leave out might matter.
func known(all ...proto.Message) error {
	for _, m := range all {
		if len(m.ProtoReflect().GetUnknown()) > 0 {
			return fmt.Errorf("%s has a field that a newer program wrote", m.ProtoReflect().Descriptor().Name())
		}
	}
	return nil
}
