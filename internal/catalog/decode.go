package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits of one entry; doc.go lists them for the people who write one.
const (
	maxKeyBytes   = 64
	maxNameBytes  = 512
	maxLabelBytes = 256
	maxTextBytes  = 2048
	maxMoney      = 100_000_000_000 // minor units; also units of stock
	maxTax        = 10_000          // hundredths of a per cent
	maxProblems   = 20              // reported for one file or answer; the rest is counted
)

// problems collects what is wrong with a file or an answer.
type problems struct {
	list []error
	more int
}

func (p *problems) add(format string, args ...any) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, fmt.Errorf(format, args...))
}

// err returns all problems joined, nil if there were none.
func (p *problems) err() error {
	if p.more > 0 {
		return errors.Join(append(p.list, fmt.Errorf("and %d more problems", p.more))...)
	}
	return errors.Join(p.list...)
}

// entry names an entry of a list in a problem: index counts from 0 as in JSON paths.
func entry(index int, id string) string {
	return fmt.Sprintf("entry %d (%.64q): ", index, id)
}

// decodeProducts returns the products of a catalogue file by SKU, or all that is wrong with it.
func decodeProducts(data []byte) (table[Product], error) {
	raws, err := splitList(data)
	if err != nil {
		return nil, err
	}
	products := make(table[Product], len(raws))
	first := make(map[string]int, len(raws))
	var found problems
	for i, raw := range raws {
		p, bad := parseProduct(raw)
		for _, msg := range bad {
			found.add("%s%s", entry(i, p.SKU), msg)
		}
		if at, twice := first[p.SKU]; twice && p.SKU != "" {
			found.add("%sthe SKU is that of entry %d too", entry(i, p.SKU), at)
			continue
		}
		first[p.SKU] = i
		products[p.SKU] = p
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	return products, nil
}

// decodeProduct returns the product of a backend's answer, which must be for sku.
func decodeProduct(data []byte, sku string) (Product, error) {
	if !utf8.Valid(data) {
		return Product{}, errors.New("answer is not UTF-8")
	}
	p, bad := parseProduct(data)
	if len(bad) > 0 {
		return Product{}, fmt.Errorf("answer: %s", strings.Join(bad, "; "))
	}
	if p.SKU != sku {
		return Product{}, fmt.Errorf("answer is for sku %q", p.SKU)
	}
	return p, nil
}

// decodeDeliveries returns the offers of a delivery list by provider, or all that is wrong with it.
func decodeDeliveries(data []byte) (table[offers], error) {
	raws, err := splitList(data)
	if err != nil {
		return nil, err
	}
	list := make(table[offers])
	first := make(map[key]int, len(raws))
	var found problems
	for i, raw := range raws {
		d, bad := parseDelivery(raw)
		for _, msg := range bad {
			found.add("%s%s", entry(i, d.Provider), msg)
		}
		countries := d.Countries
		if len(countries) == 0 {
			countries = []string{""}
		}
		for _, c := range countries {
			k := key{d.Provider, c}
			if at, twice := first[k]; twice && d.Provider != "" {
				found.add("%sprovider and country %q are those of entry %d too", entry(i, d.Provider), c, at)
				continue
			}
			first[k] = i
		}
		list[d.Provider] = append(list[d.Provider], d)
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	return list, nil
}

// decodeDelivery returns the one offer of a backend's answer, which must be for provider.
func decodeDelivery(data []byte, provider string) (offers, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("answer is not UTF-8")
	}
	d, bad := parseDelivery(data)
	if len(bad) > 0 {
		return nil, fmt.Errorf("answer: %s", strings.Join(bad, "; "))
	}
	if d.Provider != provider {
		return nil, fmt.Errorf("answer is for provider %q", d.Provider)
	}
	return offers{d}, nil
}

// splitList returns the elements of the JSON array that data must be, and nothing else.
func splitList(data []byte) ([]json.RawMessage, error) {
	// encoding/json turns bad UTF-8 into U+FFFD, and so two SKUs into one.
	if !utf8.Valid(data) {
		return nil, errors.New("not UTF-8")
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(data, &raws); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("byte %d: %w", syntax.Offset, err)
		}
		return nil, errors.New("not a JSON array")
	}
	if raws == nil { // null
		return nil, errors.New("not a JSON array")
	}
	return raws, nil
}

// parseProduct returns the product and what is wrong with it, as far as it could be read.
func parseProduct(raw []byte) (Product, []string) {
	// Price and tax hide those of Product: a product whose price is missing is not a free one.
	var in struct {
		Product
		Price *int64 `json:"price"`
		Tax   *int64 `json:"tax"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return in.Product, []string{explain(err)}
	}
	p := in.Product
	var c check
	c.key("sku", p.SKU)
	c.text("name", p.Name, maxNameBytes)
	if p.Name == "" {
		c.add("name is missing")
	}
	p.Price = c.required("price", in.Price, maxMoney)
	p.Tax = c.required("tax", in.Tax, maxTax)
	c.number("orgPrice", p.OrgPrice, 0, maxMoney)
	if p.Stock != nil {
		c.number("stock", *p.Stock, -maxMoney, maxMoney)
	}
	if p.Currency != "" && !isUpper(p.Currency, 3) {
		c.add("currency %.16q is not three letters A to Z", p.Currency)
	}
	c.text("image", p.Image, maxTextBytes)
	c.text("disclaimer", p.Disclaimer, maxTextBytes)
	c.text("brand", p.Brand, maxLabelBytes)
	c.text("category", p.Category, maxLabelBytes)
	c.text("type", p.Type, maxLabelBytes)
	c.text("saleStatus", p.SaleStatus, maxLabelBytes)
	c.text("sellerId", p.SellerID, maxLabelBytes)
	c.text("sellerName", p.SellerName, maxLabelBytes)
	return p, c
}

// parseDelivery returns the delivery, its countries in upper case, and what is wrong with it.
func parseDelivery(raw []byte) (Delivery, []string) {
	var in struct {
		Delivery
		Price *int64 `json:"price"`
		Tax   *int64 `json:"tax"`
	}
	if err := json.Unmarshal(raw, &in); err != nil {
		return in.Delivery, []string{explain(err)}
	}
	d := in.Delivery
	var c check
	c.key("provider", d.Provider)
	c.text("name", d.Name, maxNameBytes)
	d.Price = c.required("price", in.Price, maxMoney)
	d.Tax = c.required("tax", in.Tax, maxTax)
	for i, country := range d.Countries {
		d.Countries[i] = upperCountry(country)
		if !isUpper(d.Countries[i], 2) {
			c.add("country %.16q is not two letters", country)
		}
	}
	return d, c
}

// check is what is wrong with one entry so far.
type check []string

func (c *check) add(format string, args ...any) { *c = append(*c, fmt.Sprintf(format, args...)) }

func (c *check) key(field, v string) {
	if err := checkKey(v); err != nil {
		c.add("%s %v", field, err)
	}
}

func (c *check) number(field string, v, low, high int64) {
	if v < low || v > high {
		c.add("%s %d is not within %d and %d", field, v, low, high)
	}
}

// required returns the number, 0 if it is missing.
func (c *check) required(field string, v *int64, high int64) int64 {
	if v == nil {
		c.add("%s is missing", field)
		return 0
	}
	c.number(field, *v, 0, high)
	return *v
}

func (c *check) text(field, v string, limit int) {
	if len(v) > limit {
		c.add("%s is longer than %d bytes", field, limit)
	}
	if strings.IndexByte(v, 0) >= 0 { // PostgreSQL's text and jsonb cannot hold it
		c.add("%s has a NUL character", field)
	}
}

// checkKey says what is wrong with a SKU or the name of a provider, nil if nothing is.
func checkKey(v string) error {
	switch {
	case v == "":
		return errors.New("is empty")
	case len(v) > maxKeyBytes:
		return fmt.Errorf("is longer than %d bytes", maxKeyBytes)
	case !utf8.ValidString(v):
		return errors.New("is not UTF-8")
	}
	for i := range len(v) {
		if v[i] < 0x20 || v[i] == 0x7f {
			return errors.New("has a control character")
		}
	}
	return nil
}

// isUpper reports whether v is n letters A to Z.
func isUpper(v string, n int) bool {
	if len(v) != n {
		return false
	}
	for i := range len(v) {
		if v[i] < 'A' || v[i] > 'Z' {
			return false
		}
	}
	return true
}

// explain says what is wrong with one entry's JSON in the words of who wrote it, not in Go's.
func explain(err error) string {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := wrong.Field[strings.LastIndexByte(wrong.Field, '.')+1:] // without the name of the type that is embedded
		if field == "" {
			return fmt.Sprintf("is a JSON %s, not an object", wrong.Value)
		}
		return fmt.Sprintf("%s cannot be %.40s", field, wrong.Value)
	}
	return err.Error()
}
