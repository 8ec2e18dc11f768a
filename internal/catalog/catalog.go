package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Errors that callers tell apart. All that this package returns from a look-up is one of them.
var (
	// ErrUnknownSKU says that the source answered and has no such product.
	ErrUnknownSKU = errors.New("unknown sku")
	// ErrUnknownProvider says that the source answered and has no such delivery for that country.
	ErrUnknownProvider = errors.New("unknown delivery provider")
	// ErrUnavailable says that the source could not be asked, or answered something that cannot be
	// trusted. Asking again later may help. It also wraps the caller's own cancellation.
	ErrUnavailable = errors.New("catalogue unavailable")
)

// Product is one entry of the catalogue, as the shop sells it in one country. It is shared by all
// who look it up: what Stock points to must not be changed.
type Product struct {
	SKU        string `json:"sku"`
	ItemID     uint32 `json:"itemId,omitzero"` // the catalogue's own number; 0: none
	Name       string `json:"name"`
	Price      int64  `json:"price"`               // of one unit, in minor units; with VAT unless PriceExVat
	OrgPrice   int64  `json:"orgPrice,omitzero"`   // before any reduction, entered like Price; 0: not known
	Tax        int64  `json:"tax"`                 // hundredths of a per cent: 2500 is 25 %
	PriceExVat bool   `json:"priceExVat,omitzero"` // Price and OrgPrice are without VAT
	Stock      *int64 `json:"stock,omitzero"`      // units; nil: not known; negative: oversold
	Image      string `json:"image,omitzero"`
	Brand      string `json:"brand,omitzero"`
	Category   string `json:"category,omitzero"`
	Currency   string `json:"currency,omitzero"` // ISO 4217; empty: the cart's
	Type       string `json:"type,omitzero"`
	Disclaimer string `json:"disclaimer,omitzero"`
	SaleStatus string `json:"saleStatus,omitzero"`
	SellerID   string `json:"sellerId,omitzero"`
	SellerName string `json:"sellerName,omitzero"`
}

// Delivery is what one provider charges for a delivery, in the countries it names. Countries is
// shared by all who look it up and must not be changed.
type Delivery struct {
	Provider   string   `json:"provider"`
	Name       string   `json:"name,omitzero"`
	Price      int64    `json:"price"`               // minor units of the cart's currency; with VAT unless PriceExVat
	Tax        int64    `json:"tax"`                 // hundredths of a per cent
	PriceExVat bool     `json:"priceExVat,omitzero"` // Price is without VAT
	Countries  []string `json:"countries,omitzero"`  // two upper-case letters each; empty: everywhere
}

// Catalog is what all sources of products have in common.
type Catalog interface {
	// Product returns the product with exactly that SKU as it is sold in country (two letters in
	// any case, empty for none). It returns ErrUnknownSKU or ErrUnavailable, wrapped.
	Product(ctx context.Context, sku, country string) (Product, error)
}

// Anew returns a ctx with which a look-up takes no answer that a backend was asked for earlier than now: one that was
// kept is not good enough, not even while the backend fails. All look-ups with this ctx may share one answer.
func Anew(ctx context.Context) context.Context {
	return context.WithValue(ctx, anewKey{}, time.Now())
}

type anewKey struct{}

// notBefore returns when an answer must have been asked for at the earliest, and false if any time will do.
func notBefore(ctx context.Context) (time.Time, bool) {
	t, ok := ctx.Value(anewKey{}).(time.Time)
	return t, ok
}

// Products is an open catalogue. Make one with [Open].
type Products struct {
	source source[Product]
}

var _ Catalog = (*Products)(nil)

// Product returns the product with exactly that SKU as it is sold in country: two letters in any
// case, or empty for none. A built-in or file catalogue does not look at the country and never
// blocks; an HTTP one waits for the backend until ctx ends or Options.Timeout has passed. It
// returns ErrUnknownSKU or ErrUnavailable, wrapped.
func (p *Products) Product(ctx context.Context, sku, country string) (Product, error) {
	if checkKey(sku) != nil {
		return Product{}, fmt.Errorf("%w %.64q", ErrUnknownSKU, sku)
	}
	found, err := p.source.get(ctx, key{sku, upperCountry(country)})
	switch {
	case err == nil:
		return found, nil
	case errors.Is(err, errNotFound):
		return Product{}, fmt.Errorf("%w %q", ErrUnknownSKU, sku)
	default:
		return Product{}, fmt.Errorf("look up sku %q for country %.8q: %w", sku, country, err)
	}
}

// ByCountry reports whether the country of a look-up makes a difference.
func (p *Products) ByCountry() bool {
	r, ok := p.source.(*remote[Product])
	return ok && r.template.hasCountry
}

// Close ends all requests to the backend, waits for them and closes the connections. Look-ups
// that wait, and those that come later, return ErrUnavailable. A built-in or file catalogue has
// nothing to close. Close may be called again; it always returns nil.
func (p *Products) Close() error {
	p.source.close()
	return nil
}

// Deliveries is an open list of delivery prices. Make one with [OpenDeliveries].
type Deliveries struct {
	source source[offers]
}

// Delivery returns what provider charges for a delivery to country: two letters in any case, or
// empty when it is not known yet, which finds the entry for everywhere or else the provider's
// first. It blocks like [Products.Product]. It returns ErrUnknownProvider, also if the provider
// does not deliver to that country, or ErrUnavailable, wrapped.
func (d *Deliveries) Delivery(ctx context.Context, provider, country string) (Delivery, error) {
	if checkKey(provider) != nil {
		return Delivery{}, fmt.Errorf("%w %.64q", ErrUnknownProvider, provider)
	}
	country = upperCountry(country)
	found, err := d.source.get(ctx, key{provider, country})
	if err != nil && !errors.Is(err, errNotFound) {
		return Delivery{}, fmt.Errorf("look up delivery %q for country %.8q: %w", provider, country, err)
	}
	if offer, ok := found.to(country); ok {
		return offer, nil
	}
	return Delivery{}, fmt.Errorf("%w %q for country %.8q", ErrUnknownProvider, provider, country)
}

// Close is like [Products.Close].
func (d *Deliveries) Close() error {
	d.source.close()
	return nil
}

// key is what a source is asked for.
type key struct {
	id      string // SKU or provider, already checked by checkKey
	country string // upper case, not checked; empty: none
}

// upperCountry returns the country in upper case. What cannot be two letters stays as it is: some
// characters outside ASCII have upper-case forms inside it, and must not become a country by that.
func upperCountry(country string) string {
	if len(country) != 2 {
		return country
	}
	return strings.ToUpper(country)
}

// errNotFound is a source's answer that there is no such thing. Products and Deliveries give it
// the name that their callers know.
var errNotFound = errors.New("not found")

// source is where the entries come from: a table in memory, a backend that is asked for each, or
// a backend that answers the whole list.
type source[T any] interface {
	// get returns the entry, errNotFound, or ErrUnavailable, the latter two possibly wrapped.
	get(ctx context.Context, k key) (T, error)
	close()
}

// table is a source that has everything in memory, by id. It is never changed once it is made.
type table[T any] map[string]T

func (t table[T]) get(_ context.Context, k key) (T, error) {
	v, ok := t[k.id]
	if !ok {
		return v, errNotFound
	}
	return v, nil
}

func (t table[T]) close() {}

// offers are the entries of one provider, in the order of the list.
type offers []Delivery

// to returns the offer for country: one that names it, else the one for everywhere. Without a
// country it is the one for everywhere, else the first.
func (o offers) to(country string) (Delivery, bool) {
	everywhere := -1
	for i, d := range o {
		if len(d.Countries) == 0 {
			everywhere = i
		}
		if slices.Contains(d.Countries, country) {
			return d, true
		}
	}
	switch {
	case everywhere >= 0:
		return o[everywhere], true
	case country == "" && len(o) > 0:
		return o[0], true
	default:
		return Delivery{}, false
	}
}
