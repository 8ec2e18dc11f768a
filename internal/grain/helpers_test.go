package grain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// bench is a cart with its registry and version, as a grain has them.
type bench struct {
	registry *actor.MutationRegistry[Cart]
	cart     Cart
	version  uint64
}

func newBench() *bench { return &bench{registry: Registry(Limits{Lifetimes: soon})} }

// soon lets every cart expire that has rested for a moment.
var soon = Lifetimes{Empty: 1, Guest: 1, User: 1}

func metaAt(version uint64) actor.Meta {
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[8:], version)
	return actor.Meta{Time: time.UnixMilli(1_790_000_000_000 + int64(version)).UTC(), Version: version, ID: id, Last: time.UnixMilli(1_790_000_000_000 + int64(version) - 1).UTC()}
}

func (b *bench) info() actor.Info {
	return actor.Info{ID: "C1", Version: b.version, Created: metaAt(1).Time, Updated: metaAt(b.version).Time}
}

func (b *bench) apply(m actor.Mutation) error {
	err := b.registry.Apply(&b.cart, m, metaAt(b.version+1))
	if err == nil {
		b.version++
	}
	return err
}

func (b *bench) view() string { return string(AppendView(nil, &b.cart, b.info())) }

// must applies mutations, each of which has to be accepted.
func (b *bench) must(t testing.TB, mutations ...actor.Mutation) {
	t.Helper()
	for _, m := range mutations {
		if err := b.apply(m); err != nil {
			t.Fatalf("%T %v: %v, want it accepted", m, m, err)
		}
	}
}

// refused applies a mutation, which has to be refused with code and leave the cart as it is.
func (b *bench) refused(t testing.TB, m actor.Mutation, code, field string) {
	t.Helper()
	before := b.cart.Clone()
	before.index = b.cart.index
	err := b.apply(m)
	r, ok := errors.AsType[*actor.Refusal](err)
	if !ok {
		t.Fatalf("%T %v: got %v, want refusal %s", m, m, err, code)
	}
	if r.Code != code || r.Field != field || r.Message == "" {
		t.Errorf("%T %v: got %s of %q (%s), want %s of %q", m, m, r.Code, r.Field, r.Message, code, field)
	}
	if diff := diffCarts(before, &b.cart); diff != "" {
		t.Errorf("%T %v: refused, and yet the cart changed (-before +after):\n%s", m, m, diff)
	}
}

func (b *bench) unchanged(t testing.TB, m actor.Mutation) {
	t.Helper()
	before := b.cart.Clone()
	if err := b.apply(m); !errors.Is(err, actor.NoChange) {
		t.Errorf("%T %v: got %v, want NoChange", m, m, err)
	}
	if diff := diffCarts(before, &b.cart); diff != "" {
		t.Errorf("%T %v: changed the cart (-before +after):\n%s", m, m, diff)
	}
}

// diffCarts compares two carts, all but the index, which clones make anew.
func diffCarts(a, b *Cart) string {
	return cmp.Diff(a, b,
		cmp.AllowUnexported(Cart{}, line{}, product{}, lineKey{}, quote{}, marking{}, amount{}, delivery{}, totals{},
			rateTotal{}, subscription{}, voucher{}, terms{}, notice{}, merging{}, settlement{}, branch{}),
		cmpopts.IgnoreTypes(index{}), cmpopts.IgnoreFields(branch{}, "lent"), cmpopts.EquateEmpty(), protocmp.Transform())
}

// checkCart compares what the cart keeps up to date with a count from nothing, and the money with itself.
func checkCart(c *Cart) error {
	var want, freight totals
	children := 0
	groups := index{}
	last := uint32(0)
	for i := range c.lines {
		l := &c.lines[i]
		p := l.product
		if l.id <= last || l.id > c.lastLine {
			return fmt.Errorf("line %d comes after line %d, last id %d", l.id, last, c.lastLine)
		}
		last = l.id
		if l.qty < 1 || l.total.ex < 0 || l.total.inc < l.total.ex || l.total.inc > maxMoney {
			return fmt.Errorf("line %d: qty %d, total %v", l.id, l.qty, l.total)
		}
		want.add(l.total, p.tax)
		if p.parent != 0 {
			children++
			if _, ok := c.lineAt(p.parent); !ok || p.parent >= l.id {
				return fmt.Errorf("line %d has parent %d, which is not there", l.id, p.parent)
			}
		}
		if l.delivery != 0 {
			at, ok := c.deliveryAt(l.delivery)
			if !ok || !slices.Contains(c.deliveries[at].lines, l.id) {
				return fmt.Errorf("line %d is not in its delivery %d", l.id, l.delivery)
			}
		}
		group := groups[p.lineKey]
		if group.count++; group.count == 1 {
			group.first = l.id
		}
		groups[p.lineKey] = group
	}
	for _, d := range c.deliveries {
		if len(d.lines) == 0 || d.id > c.lastDelivery {
			return fmt.Errorf("delivery %d of lines %v, last id %d", d.id, d.lines, c.lastDelivery)
		}
		freight.add(d.price, d.tax)
		for _, id := range d.lines {
			if at, ok := c.lineAt(id); !ok || c.lines[at].delivery != d.id {
				return fmt.Errorf("delivery %d has line %d, which does not know", d.id, id)
			}
		}
	}
	if children != c.children {
		return fmt.Errorf("%d lines have a parent, kept %d", children, c.children)
	}
	if err := sameTotals("lines", want, c.items); err != nil {
		return err
	}
	if err := sameTotals("deliveries", freight, c.freight); err != nil {
		return err
	}
	if err := checkVouchers(c); err != nil {
		return err
	}
	if c.index != nil {
		if diff := cmp.Diff(groups, c.index, cmp.AllowUnexported(lineKey{}, quote{}, marking{}, lineGroup{})); diff != "" {
			return fmt.Errorf("index (-want +got):\n%s", diff)
		}
	}
	return nil
}

// sameTotals compares what the cart keeps with a count from nothing.
func sameTotals(what string, counted, kept totals) error {
	if diff := cmp.Diff(counted, kept, cmp.AllowUnexported(totals{}, rateTotal{}, amount{}), cmpopts.EquateEmpty()); diff != "" {
		return fmt.Errorf("recount of the %s differs from the totals kept (-recount +kept):\n%s", what, diff)
	}
	var sum amount
	for _, r := range kept.rates {
		sum.ex += r.sum.ex
		sum.inc += r.sum.inc
	}
	if sum != kept.sum {
		return fmt.Errorf("rates of the %s sum to %v, kept %v", what, sum, kept.sum)
	}
	return nil
}

// checkVouchers counts what each voucher is for, and looks whether their discount is one that the cart can bear.
func checkVouchers(c *Cart) error {
	last, value := uint32(0), int64(0)
	codes := map[string]bool{}
	for i := range c.vouchers {
		v := &c.vouchers[i]
		if v.id <= last || v.id > c.lastVoucher || codes[v.terms.code] {
			return fmt.Errorf("voucher %d (%s) comes after %d, last id %d", v.id, v.terms.code, last, c.lastVoucher)
		}
		last, codes[v.terms.code] = v.id, true
		var eligible totals
		for j := range c.lines {
			if slices.Contains(v.terms.skus, c.lines[j].product.sku) {
				eligible.add(c.lines[j].total, c.lines[j].product.tax)
			}
		}
		if err := sameTotals("lines that voucher "+v.terms.code+" is for", eligible, v.eligible); err != nil {
			return err
		}
		if (v.obstacle == applies) != (v.value > 0) || v.value < 0 {
			return fmt.Errorf("voucher %s takes off %d, obstacle %d", v.terms.code, v.value, v.obstacle)
		}
		value += v.value
	}
	if value != c.discount.sum.inc {
		return fmt.Errorf("vouchers take off %d, the cart %d", value, c.discount.sum.inc)
	}
	for _, d := range c.discount.rates {
		var full amount
		for _, t := range []totals{c.items, c.freight} {
			if i, ok := t.find(d.tax); ok {
				full.ex += t.rates[i].sum.ex
				full.inc += t.rates[i].sum.inc
			}
		}
		if left := (amount{full.ex - d.sum.ex, full.inc - d.sum.inc}); left.ex < 0 || left.vat() < 0 || d.sum.ex < 0 || d.sum.vat() < 0 {
			return fmt.Errorf("%v off %v at rate %d leaves %v", d.sum, full, d.tax, left)
		}
	}
	return sameTotals("discount", c.discount, c.discount)
}

func item(sku string, qty, price, tax int64) *messages.AddItem {
	return &messages.AddItem{Sku: sku, Quantity: qty, Price: price, Tax: tax}
}

var (
	testRates = []int64{0, 550, 600, 1200, 1900, 2000, 2500}
	smallID   = rapid.Uint32Range(0, 12)
	texts     = rapid.SampledFrom([]string{"", "a", "milk", "å \"quoted\" <b>&", "\u2028line\n", "NUL\x00", "bad\xff"})
	countries = rapid.SampledFrom([]string{"", "", "gb", "SE", "s1", "SWE"})
)

// attributesGen mostly gives few, ordinary attributes.
var attributesGen = rapid.Custom(func(t *rapid.T) map[string]string {
	return rapid.MapOfN(rapid.SampledFrom([]string{"colour", "size", "a", "ключ"}), rapid.SampledFrom([]string{"", "red", "<x>"}), 0, 2).Draw(t, "attributes")
})

var pickupGen = rapid.Custom(func(t *rapid.T) *messages.PickupPoint {
	return &messages.PickupPoint{Id: texts.Draw(t, "id"), City: rapid.Ptr(texts, true).Draw(t, "city"),
		Country: rapid.Ptr(countries, true).Draw(t, "country")}
})

var addressGen = rapid.Custom(func(t *rapid.T) *messages.Address {
	return &messages.Address{Name: rapid.Ptr(texts, true).Draw(t, "name"), Country: rapid.Ptr(countries, true).Draw(t, "country")}
})

var addItemGen = rapid.Custom(func(t *rapid.T) *messages.AddItem {
	if rapid.IntRange(0, 2).Draw(t, "ordinary") > 0 {
		return &messages.AddItem{
			Sku:      rapid.SampledFrom([]string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"}).Draw(t, "sku"),
			Quantity: rapid.Int64Range(1, 20).Draw(t, "quantity"), Price: rapid.Int64Range(100, 102).Draw(t, "price"),
			Tax: rapid.SampledFrom(testRates).Draw(t, "tax"), Stock: new(int64(10))}
	}
	m := &messages.AddItem{
		Sku:      rapid.SampledFrom([]string{"A", "B", "C", "D", "E", ""}).Draw(t, "sku"),
		Quantity: rapid.OneOf(rapid.Int64Range(1, 20), rapid.Int64Range(1, 1_000_000), rapid.Int64()).Draw(t, "quantity"),
		Price:    rapid.OneOf(rapid.SampledFrom([]int64{0, 1, 99, 108}), rapid.Int64Range(0, maxPrice), rapid.Int64()).Draw(t, "price"),
		OrgPrice: rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 1000), rapid.Int64()).Draw(t, "orgPrice"),
		Tax:      rapid.SampledFrom(append(testRates, 10_000, 10_001, -1)).Draw(t, "tax"),
	}
	if rapid.IntRange(0, 2).Draw(t, "more") == 0 {
		m.PriceExVat = rapid.Bool().Draw(t, "exVat")
		m.Name = texts.Draw(t, "name")
		m.Stock = rapid.Ptr(rapid.Int64(), true).Draw(t, "stock")
		m.Country = countries.Draw(t, "country")
		m.StoreId = rapid.Ptr(texts, true).Draw(t, "store")
		m.ParentId = rapid.Ptr(smallID, true).Draw(t, "parent")
		m.Attributes = attributesGen.Draw(t, "attributes")
		m.Currency = rapid.SampledFrom([]string{"", "GBP", "SEK", "gbp"}).Draw(t, "currency")
		m.TaxRounding = rapid.SampledFrom([]string{"", "half-even", "half-up", "half-down", "up"}).Draw(t, "rounding")
		m.TaxLevel = rapid.SampledFrom([]string{"", "line", "unit"}).Draw(t, "level")
	}
	return m
})

// instants lie around the times of the events that [metaAt] makes.
var instants = rapid.Custom(func(t *rapid.T) string {
	if rapid.IntRange(0, 4).Draw(t, "bounded") > 0 {
		return ""
	}
	return metaAt(rapid.Uint64Range(1, 60).Draw(t, "version")).Time.Format(time.RFC3339Nano)
})

var voucherGen = rapid.Custom(func(t *rapid.T) *messages.AddVoucher {
	m := &messages.AddVoucher{Code: rapid.SampledFrom([]string{"V1", "V2", "V3", "V4", ""}).Draw(t, "code"),
		Kind: rapid.SampledFrom([]string{kindAmount, kindAmount, kindPercent, kindPercent, kindFreeDelivery, "x"}).Draw(t, "kind"),
		Skus: rapid.SliceOfN(rapid.SampledFrom([]string{"A", "B", "C", "Z"}), 0, 2).Draw(t, "skus"), Description: texts.Draw(t, "description")}
	if m.Kind != kindFreeDelivery {
		m.Value = rapid.OneOf(rapid.Int64Range(1, 2000), rapid.SampledFrom([]int64{1, 5000, 10_000, maxPrice, -1})).Draw(t, "value")
	}
	if rapid.IntRange(0, 3).Draw(t, "rules") == 0 {
		m.Currency = rapid.SampledFrom([]string{"", "GBP", "SEK"}).Draw(t, "currency")
		m.MinTotal = rapid.Int64Range(0, 3000).Draw(t, "minTotal")
		m.ValidFrom, m.ValidTo = instants.Draw(t, "from"), instants.Draw(t, "to")
		m.OncePerUser = rapid.Bool().Draw(t, "once")
		m.UsageLimit = rapid.Int64Range(-1, 3).Draw(t, "limit")
	}
	return m
})

var refreshGen = rapid.Custom(func(t *rapid.T) *messages.RefreshPrices_Line {
	return &messages.RefreshPrices_Line{Id: smallID.Draw(t, "id"), Price: rapid.OneOf(rapid.Int64Range(99, 103), rapid.Int64Range(0, maxPrice)).Draw(t, "price"),
		OrgPrice: rapid.SampledFrom([]int64{0, 0, 150, -1}).Draw(t, "orgPrice"), Tax: rapid.SampledFrom(testRates).Draw(t, "tax"),
		PriceExVat: rapid.Bool().Draw(t, "exVat"), Stock: rapid.Ptr(rapid.Int64Range(-1, 30), true).Draw(t, "stock"),
		Gone: rapid.IntRange(0, 5).Draw(t, "gone") == 0, Name: rapid.Ptr(texts, true).Draw(t, "name"),
		Currency: rapid.SampledFrom([]string{"", "", "GBP"}).Draw(t, "currency")}
})

// shoppingGen draws what changes an open cart.
var shoppingGen = rapid.Custom(func(t *rapid.T) actor.Mutation {
	switch rapid.IntRange(0, 19).Draw(t, "kind") {
	case 0, 1, 2, 3, 4, 5:
		return addItemGen.Draw(t, "item")
	case 6:
		return &messages.RemoveItem{Id: smallID.Draw(t, "id")}
	case 7, 8:
		return &messages.ChangeQuantity{Id: smallID.Draw(t, "id"), Quantity: rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64()).Draw(t, "quantity")}
	case 9:
		return &messages.LineItemAttributes{Id: smallID.Draw(t, "id"), Attributes: attributesGen.Draw(t, "attributes")}
	case 10:
		return &messages.LineItemMarking{Id: smallID.Draw(t, "id"), Type: rapid.Int32().Draw(t, "type"), Marking: texts.Draw(t, "marking")}
	case 11:
		return &messages.RemoveLineItemMarking{Id: smallID.Draw(t, "id")}
	case 12, 13:
		return &messages.SetDelivery{Provider: texts.Draw(t, "provider"), Items: rapid.SliceOfN(smallID, 0, 4).Draw(t, "items"),
			Price: rapid.Int64Range(-1, 1000).Draw(t, "price"), Tax: rapid.SampledFrom(testRates).Draw(t, "tax"),
			PriceExVat: rapid.Bool().Draw(t, "exVat"), Country: countries.Draw(t, "country"),
			Address:     rapid.OneOf(rapid.Just((*messages.Address)(nil)), addressGen).Draw(t, "address"),
			PickupPoint: rapid.OneOf(rapid.Just((*messages.PickupPoint)(nil)), pickupGen).Draw(t, "pickup")}
	case 14:
		return &messages.RemoveDelivery{Id: smallID.Draw(t, "id")}
	case 15, 16:
		return voucherGen.Draw(t, "voucher")
	case 17:
		return &messages.RemoveVoucher{Id: smallID.Draw(t, "id")}
	case 18:
		return &messages.RefreshPrices{Lines: rapid.SliceOfN(refreshGen, 0, 4).Draw(t, "lines")}
	default:
		return &messages.SetPickupPoint{DeliveryId: smallID.Draw(t, "id"),
			PickupPoint: rapid.OneOf(rapid.Just((*messages.PickupPoint)(nil)), pickupGen).Draw(t, "pickup")}
	}
})

// mutationGen draws any mutation at all; those that end a cart's life are rare.
var mutationGen = rapid.Custom(func(t *rapid.T) actor.Mutation {
	orders := rapid.SampledFrom([]string{"o-1", "o-1", "o-2", ""})
	others := rapid.SampledFrom([]string{"C7", "C8", "C8", ""})
	versions := rapid.Uint64Range(1, 9)
	switch rapid.IntRange(0, 54).Draw(t, "life") {
	case 0, 1:
		return &messages.CartCreated{Currency: rapid.SampledFrom([]string{"", "GBP", "x"}).Draw(t, "currency"),
			Country: countries.Draw(t, "country"), UserId: texts.Draw(t, "user")}
	case 2:
		return &messages.ClearCart{}
	case 3, 4:
		return &messages.SetUserId{UserId: texts.Draw(t, "user"), Rebind: rapid.Bool().Draw(t, "rebind")}
	case 5, 6:
		return &messages.UpsertSubscriptionDetails{Id: rapid.Ptr(texts, true).Draw(t, "id"), OfferingCode: texts.Draw(t, "code"),
			Data: rapid.SampledFrom([]string{"", "{", `{"a": [1]}`, `"\u0000"`}).Draw(t, "data")}
	case 7:
		return &messages.InitializeCheckout{OrderId: orders.Draw(t, "order"), ExpectedTotal: rapid.Ptr(rapid.Int64Range(0, 9), true).Draw(t, "total"),
			TtlMillis: rapid.SampledFrom([]int64{0, 1, 3, -1}).Draw(t, "ttl"), LimitsHeld: rapid.IntRange(0, 3).Draw(t, "held") > 0,
			Reservation: rapid.SampledFrom([]string{"", "r-1", "r-2"}).Draw(t, "reservation"), Reserved: rapid.SliceOfN(rapid.SampledFrom([]string{"V1", "V2", "V3"}), 0, 3).Draw(t, "reserved")}
	case 12:
		return &messages.CheckoutExpired{}
	case 8, 9:
		return &messages.AbortCheckout{}
	case 10:
		return &messages.OrderCreated{OrderId: orders.Draw(t, "order"), Status: texts.Draw(t, "status")}
	case 13:
		m := &messages.MergeCart{From: others.Draw(t, "from"), Currency: rapid.SampledFrom([]string{"", "GBP", "EUR"}).Draw(t, "currency"),
			UserId: rapid.SampledFrom([]string{"", "", "u"}).Draw(t, "user"), Again: rapid.IntRange(0, 9).Draw(t, "again") == 0}
		for i, it := range rapid.SliceOfN(addItemGen, 0, 4).Draw(t, "items") {
			m.Items, m.Ids = append(m.Items, it), append(m.Ids, uint32(1+2*i))
		}
		for _, id := range m.Ids {
			if rapid.Bool().Draw(t, "marked") {
				m.Markings = append(m.Markings, &messages.LineItemMarking{Id: id, Marking: texts.Draw(t, "marking")})
			}
		}
		m.Vouchers = rapid.SliceOfN(voucherGen, 0, 2).Draw(t, "vouchers")
		return m
	case 17:
		return &messages.VoucherRefused{Code: rapid.SampledFrom([]string{"V1", "V2", "V3"}).Draw(t, "code"), Reason: rapid.SampledFrom([]string{ReasonUsedUp, ReasonUsedByUser, ""}).Draw(t, "reason")}
	case 18:
		return &messages.VoucherSettled{Code: rapid.SampledFrom([]string{"V1", "V2", "V3"}).Draw(t, "code"), Reservation: rapid.SampledFrom([]string{"r-1", "r-2"}).Draw(t, "reservation")}
	case 19:
		return &messages.VoucherLapsed{Code: "V1", Reservation: "r-1"}
	case 14:
		return &messages.MergeStarted{Into: others.Draw(t, "into"), IfVersion: rapid.Ptr(versions, true).Draw(t, "version")}
	case 15:
		return &messages.CartMerged{Into: others.Draw(t, "into"), Started: versions.Draw(t, "started")}
	case 16:
		return &messages.MergeAborted{Into: others.Draw(t, "into"), Started: versions.Draw(t, "started"), Code: texts.Draw(t, "code")}
	case 11:
		switch rapid.IntRange(0, 9).Draw(t, "delete") {
		case 0:
			return &messages.CartDeleted{}
		case 1:
			return &messages.CartExpired{}
		}
	}
	return shoppingGen.Draw(t, "shopping")
})

// accept applies a mutation that has to be accepted.
func accept(t *rapid.T, b *bench, m actor.Mutation) {
	if err := b.apply(m); err != nil {
		t.Fatalf("%T %v: %v, want it accepted", m, m, err)
	}
}
