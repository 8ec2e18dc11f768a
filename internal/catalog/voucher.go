package catalog

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// ErrUnknownVoucher says that the source answered and has no voucher of that code.
var ErrUnknownVoucher = errors.New("unknown voucher")

// The kinds of vouchers.
const (
	KindAmount       = "amount"
	KindPercent      = "percent"
	KindFreeDelivery = "freeDelivery"
)

const maxVoucherSKUs = 500

// Voucher is the definition of one voucher. It is shared by all who look it up: what SKUs, ValidFrom and ValidTo point
// to must not be changed.
type Voucher struct {
	Code        string     `json:"code"`
	Kind        string     `json:"kind"`
	Value       int64      `json:"value,omitzero"` // minor units, or hundredths of a per cent: 1000 is 10 %; 0 for free delivery
	Description string     `json:"description,omitzero"`
	Currency    string     `json:"currency,omitzero"` // ISO 4217; empty: any
	MinTotal    int64      `json:"minTotal,omitzero"` // of the goods, VAT included
	SKUs        []string   `json:"skus,omitzero"`     // empty: for all
	ValidFrom   *time.Time `json:"validFrom,omitzero"`
	ValidTo     *time.Time `json:"validTo,omitzero"` // no longer valid at this time
	OncePerUser bool       `json:"oncePerUser,omitzero"`
	UsageLimit  int64      `json:"usageLimit,omitzero"` // among all carts; 0: none
}

// Vouchers is an open list of vouchers. Make one with [OpenVouchers].
type Vouchers struct {
	source source[Voucher]
	fold   bool // codes of the source are in upper case
}

//go:embed demo_vouchers.json
var demoVouchers []byte

// OpenVouchers returns the vouchers at source, which is like that of [Open] with {code} in place of {sku}. A URL without
// {code} is one that answers the whole list. Close what OpenVouchers returned.
func OpenVouchers(ctx context.Context, source string, opts Options) (*Vouchers, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	if isURL(source) {
		t, err := parseTemplate(source, "code")
		if err != nil {
			return nil, fmt.Errorf("vouchers: %w", err)
		}
		t.hasCountry = false // a voucher is the same everywhere
		if t.hasID {
			return &Vouchers{source: newRemote(t, decodeVoucher, opts, sourceVouchers)}, nil
		}
		opts.CacheEntries = 1
		return &Vouchers{source: newRemoteList(t, decodeVouchers, opts, sourceVouchers), fold: true}, nil
	}
	data, err := readSource(ctx, source, demoVouchers)
	if err != nil {
		return nil, fmt.Errorf("vouchers: %w", err)
	}
	list, err := decodeVouchers(data)
	if err != nil {
		return nil, fmt.Errorf("vouchers %s: %w", source, err)
	}
	return &Vouchers{source: list, fold: true}, nil
}

// Voucher returns the voucher with that code, as shoppers type it: upper and lower case are the same in a list, and a
// backend that is asked for a code gets it as it was typed. It blocks like [Products.Product], and returns
// ErrUnknownVoucher or ErrUnavailable, wrapped.
func (v *Vouchers) Voucher(ctx context.Context, code string) (Voucher, error) {
	code = strings.TrimSpace(code)
	if checkKey(code) != nil {
		return Voucher{}, fmt.Errorf("%w %.64q", ErrUnknownVoucher, code)
	}
	id := code
	if v.fold {
		id = strings.ToUpper(code)
	}
	found, err := v.source.get(ctx, key{id: id})
	switch {
	case err == nil:
		return found, nil
	case errors.Is(err, errNotFound):
		return Voucher{}, fmt.Errorf("%w %q", ErrUnknownVoucher, code)
	default:
		return Voucher{}, fmt.Errorf("look up voucher %q: %w", code, err)
	}
}

// Close is like [Products.Close].
func (v *Vouchers) Close() error {
	v.source.close()
	return nil
}

// decodeVouchers returns the vouchers of a list by their codes in upper case, or all that is wrong with it.
func decodeVouchers(data []byte) (table[Voucher], error) {
	raws, err := splitList(data)
	if err != nil {
		return nil, err
	}
	vouchers, first := make(table[Voucher], len(raws)), make(map[string]int, len(raws))
	var found problems
	for i, raw := range raws {
		v, bad := parseVoucher(raw)
		for _, msg := range bad {
			found.add("%s%s", entry(i, v.Code), msg)
		}
		code := strings.ToUpper(v.Code)
		if at, twice := first[code]; twice && code != "" {
			found.add("%sthe code is that of entry %d too", entry(i, v.Code), at)
			continue
		}
		first[code] = i
		vouchers[code] = v
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	return vouchers, nil
}

// decodeVoucher returns the voucher of a backend's answer, which must be for code, in whatever case.
func decodeVoucher(data []byte, code string) (Voucher, error) {
	if !utf8.Valid(data) {
		return Voucher{}, errors.New("answer is not UTF-8")
	}
	v, bad := parseVoucher(data)
	if len(bad) > 0 {
		return Voucher{}, fmt.Errorf("answer: %s", strings.Join(bad, "; "))
	}
	if !strings.EqualFold(v.Code, code) {
		return Voucher{}, fmt.Errorf("answer is for voucher %q", v.Code)
	}
	return v, nil
}

// parseVoucher returns the voucher, its SKUs sorted, and what is wrong with it.
func parseVoucher(raw []byte) (Voucher, []string) {
	var in struct {
		Voucher
		ValidFrom *string `json:"validFrom"` // these hide those of Voucher, to be told of in our words
		ValidTo   *string `json:"validTo"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return in.Voucher, []string{explain(err)}
	}
	v := in.Voucher
	var c check
	c.key("code", v.Code)
	if strings.TrimSpace(v.Code) != v.Code {
		c.add("code begins or ends with white space")
	}
	c.text("description", v.Description, maxLabelBytes)
	switch v.Kind {
	case KindAmount:
		c.number("value", v.Value, 1, maxMoney)
	case KindPercent:
		c.number("value", v.Value, 1, maxTax) // 100 %
	case KindFreeDelivery:
		c.number("value", v.Value, 0, 0)
	default:
		c.add("kind %.16q is not %s, %s or %s", v.Kind, KindAmount, KindPercent, KindFreeDelivery)
	}
	if v.Currency != "" && !isUpper(v.Currency, 3) {
		c.add("currency %.16q is not three letters A to Z", v.Currency)
	}
	c.number("minTotal", v.MinTotal, 0, maxMoney)
	c.number("usageLimit", v.UsageLimit, 0, maxMoney)
	if len(v.SKUs) > maxVoucherSKUs {
		c.add("has more than %d skus", maxVoucherSKUs)
	}
	for _, sku := range v.SKUs {
		c.key("one of skus", sku)
	}
	slices.Sort(v.SKUs)
	v.ValidFrom, v.ValidTo = c.time("validFrom", in.ValidFrom), c.time("validTo", in.ValidTo)
	if v.ValidFrom != nil && v.ValidTo != nil && !v.ValidFrom.Before(*v.ValidTo) {
		c.add("validTo is not after validFrom")
	}
	return v, c
}

// time returns the time in UTC, nil if there is none.
func (c *check) time(field string, s *string) *time.Time {
	if s == nil || *s == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, *s)
	if err != nil || t.Year() < 1971 || t.Year() > 9998 {
		c.add("%s %.40q is no time like 2026-11-21T02:26:22Z", field, *s)
		return nil
	}
	t = t.UTC()
	return &t
}
