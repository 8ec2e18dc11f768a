package grain

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"cartd/pkg/messages"
)

// stateVersion is the version of what appendState writes; a state of another version is not read, and the log is
// replayed. It is raised when the states that are stored must not be used any more:
//   - the same events now make another state: a handler or a rule of money has changed;
//   - a field of CartState means something else;
//   - a field is new that events stored before could have set.
//
// A new field that only new events set needs no new version: without it a state means what it meant, and an older
// program refuses a state that has it.
const stateVersion = 2

// appendState appends c to dst as a messages.CartState, and returns the extended slice. It keeps and changes nothing
// of c.
func appendState(dst []byte, c *Cart) []byte {
	s := &messages.CartState{
		Rounding: stateRounding[c.rounding.Mode], PerUnit: c.rounding.PerUnit,
		Status: string(c.status), Currency: c.currency, Country: c.country, UserId: c.userID,
		OrderId: c.orderID, PaymentStatus: c.paymentStatus,
		Lines: statesOfLines(c.lines), LastLine: c.lastLine,
		Deliveries: statesOfDeliveries(c.deliveries), LastDelivery: c.lastDelivery,
		Vouchers: statesOfVouchers(c.vouchers), LastVoucher: c.lastVoucher,
		Subscriptions: statesOfSubscriptions(c.subscriptions),
		TotalExVat:    c.total().ex, TotalIncVat: c.total().inc,
		MergedInto: c.mergedInto, TakenOver: c.takenOver, Reservation: c.reservation,
	}
	if len(c.branches) > 0 {
		s.Branches = statesOfBranches(c.branches)
	}
	for _, e := range c.settlements {
		s.Settlements = append(s.Settlements, &messages.CartState_Settlement{Code: e.code, Reservation: e.reservation, Used: e.used})
	}
	if m := c.merging; m != nil {
		s.Merge = &messages.CartState_Merge{Into: m.into, Started: m.started, IfVersion: m.ifVersion}
	}
	if !c.checkoutUntil.IsZero() {
		s.CheckoutUntil = c.checkoutUntil.UnixMilli()
	}
	out, err := proto.MarshalOptions{}.MarshalAppend(dst, s)
	if err != nil {
		return dst // not reached: all texts of a cart are UTF-8. A state of no bytes is refused when it is read.
	}
	return out
}

// stateRounding has the modes as they are stored.
var stateRounding = [...]messages.CartState_Rounding{
	RoundHalfEven: messages.CartState_ROUNDING_HALF_EVEN,
	RoundHalfUp:   messages.CartState_ROUNDING_HALF_UP,
	RoundHalfDown: messages.CartState_ROUNDING_HALF_DOWN,
}

// statesOfLines borrows from the products: the messages must not outlive the encoding.
func statesOfLines(lines []line) []*messages.CartState_Line {
	states := make([]*messages.CartState_Line, len(lines))
	block := make([]struct {
		line messages.CartState_Line
		item messages.AddItem
	}, len(lines)) // one allocation, not one for each message
	for i := range lines {
		l, p := &lines[i], lines[i].product
		s, item := &block[i].line, &block[i].item
		states[i] = s
		s.Id, s.Item, s.Attributes = l.id, item, p.attributes
		item.ItemId, item.Sku, item.Quantity = p.itemID, p.sku, l.qty
		item.Price, item.OrgPrice, item.Tax, item.PriceExVat = p.price, p.orgPrice, int64(p.tax), p.exVat
		item.Name, item.Image, item.Type, item.Disclaimer = p.name, p.image, p.kind, p.disclaimer
		item.SaleStatus, item.Brand, item.Category = p.saleStatus, p.brand, p.category
		item.SellerId, item.SellerName = p.sellerID, p.seller
		if p.stocked {
			item.Stock = &p.stock
		}
		if p.store != "" {
			item.StoreId = &p.store
		}
		if p.parent != 0 {
			item.ParentId = &p.parent
		}
		if p.marking.set {
			s.Marking = &messages.LineItemMarking{Type: p.marking.kind, Marking: p.marking.text}
		}
		if l.notice != nil {
			s.Notice = &messages.CartState_Notice{Was: l.notice.was, Gone: l.notice.gone}
		}
	}
	return states
}

func statesOfDeliveries(deliveries []delivery) []*messages.CartState_Delivery {
	states := make([]*messages.CartState_Delivery, len(deliveries))
	for i, d := range deliveries {
		states[i] = &messages.CartState_Delivery{Id: d.id, Provider: d.provider, Lines: d.lines,
			PriceExVat: d.price.ex, PriceIncVat: d.price.inc, Tax: int64(d.tax), Address: d.address, PickupPoint: d.pickup}
	}
	return states
}

func statesOfVouchers(vouchers []voucher) []*messages.CartState_Voucher {
	states := make([]*messages.CartState_Voucher, len(vouchers))
	for i := range vouchers {
		v, t := &vouchers[i], vouchers[i].terms
		terms := &messages.AddVoucher{Code: t.code, Kind: t.kind, Description: t.description, Value: t.value, Currency: t.currency,
			MinTotal: t.minTotal, Skus: t.skus, OncePerUser: t.oncePerUser, UsageLimit: t.usageLimit}
		if t.from != 0 {
			terms.ValidFrom = string(appendInstant(nil, t.from))
		}
		if t.to != 0 {
			terms.ValidTo = string(appendInstant(nil, t.to))
		}
		states[i] = &messages.CartState_Voucher{Id: v.id, Terms: terms, Value: v.value, Obstacle: uint32(v.obstacle),
			Barred: uint32(v.barred), Reserved: v.reserved}
	}
	return states
}

func statesOfSubscriptions(subscriptions map[string]subscription) []*messages.UpsertSubscriptionDetails {
	states := make([]*messages.UpsertSubscriptionDetails, 0, len(subscriptions))
	for _, id := range slices.Sorted(maps.Keys(subscriptions)) {
		s := subscriptions[id]
		states = append(states, &messages.UpsertSubscriptionDetails{Id: &id, OfferingCode: s.offeringCode, SigningType: s.signingType, Data: s.data})
	}
	return states
}

// decodeState returns the cart that appendState wrote, its index not made. It keeps nothing of data. What no replay
// could have made is an error, and so is what a newer program has added to a state.
func decodeState(data []byte) (*Cart, error) {
	var s messages.CartState
	if err := proto.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("state of a cart: %w", err)
	}
	c, err := cartFrom(&s)
	if err != nil {
		return nil, fmt.Errorf("state of a cart: %v", err) // not %w: no command was refused
	}
	return c, nil
}

func cartFrom(s *messages.CartState) (*Cart, error) {
	if err := known(s); err != nil {
		return nil, err
	}
	c, err := headOf(s)
	if err != nil {
		return nil, err
	}
	mode := slices.Index(stateRounding[:], s.Rounding)
	if mode < 0 {
		return nil, fmt.Errorf("rounded by %v", s.Rounding)
	}
	c.rounding = Rounding{Mode: RoundingMode(mode), PerUnit: s.PerUnit}
	c.lines = make([]line, 0, len(s.Lines))
	for _, l := range s.Lines {
		if err := restoreLine(c, l); err != nil {
			return nil, fmt.Errorf("line %d: %w", l.Id, err)
		}
	}
	for _, d := range s.Deliveries {
		if err := restoreDelivery(c, d); err != nil {
			return nil, fmt.Errorf("delivery %d: %w", d.Id, err)
		}
	}
	if err := restoreVouchers(c, s.Vouchers); err != nil {
		return nil, err
	}
	if s.LastLine < c.lastLine || s.LastDelivery < c.lastDelivery || s.LastVoucher < c.lastVoucher {
		return nil, fmt.Errorf("ids %d, %d and %d are said to be the last of lines, deliveries and vouchers", s.LastLine, s.LastDelivery, s.LastVoucher)
	}
	c.lastLine, c.lastDelivery, c.lastVoucher = s.LastLine, s.LastDelivery, s.LastVoucher
	if sum := (amount{s.TotalExVat, s.TotalIncVat}); sum != c.total() {
		return nil, fmt.Errorf("adds up to %v, not to %v", c.total(), sum)
	}
	if err := restoreSubscriptions(c, s.Subscriptions); err != nil {
		return nil, err
	}
	if err := restoreMerges(c, s); err != nil {
		return nil, err
	}
	if err := restoreReservations(c, s); err != nil {
		return nil, err
	}
	if err := restoreBranches(c, s); err != nil {
		return nil, err
	}
	return c, nil
}
