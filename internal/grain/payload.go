package grain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// AppendPayload appends m to dst as the JSON object that an event's payload is, and returns the extended slice. The
// bytes are those of encoding/json without HTML escaping, and so the same for equal mutations; the frequent mutations
// get there without reflection. It returns dst as it was and an error for what encoding/json cannot encode.
func AppendPayload(dst []byte, m actor.Mutation) ([]byte, error) {
	switch m := m.(type) {
	case *messages.AddItem:
		if m != nil {
			return appendAddItem(dst, m), nil
		}
	case *messages.ChangeQuantity:
		if m != nil {
			o := object{dst: dst}
			o.uint("id", m.Id)
			o.int("quantity", m.Quantity)
			return o.end(), nil
		}
	case *messages.RemoveItem:
		if m != nil {
			o := object{dst: dst}
			o.uint("id", m.Id)
			return o.end(), nil
		}
	case *messages.ClearCart:
		if m != nil {
			return append(dst, "{}"...), nil
		}
	case *messages.CartCreated:
		if m != nil {
			o := object{dst: dst}
			o.text("currency", m.Currency)
			o.text("country", m.Country)
			o.text("userId", m.UserId)
			return o.end(), nil
		}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return dst, fmt.Errorf("encode %T: %w", m, err)
	}
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...), nil
}

func appendAddItem(dst []byte, m *messages.AddItem) []byte {
	o := object{dst: dst}
	o.uint("itemId", m.ItemId)
	o.text("sku", m.Sku)
	o.int("quantity", m.Quantity)
	o.int("price", m.Price)
	o.int("orgPrice", m.OrgPrice)
	o.int("tax", m.Tax)
	if m.PriceExVat {
		o.key("priceExVat")
		o.dst = append(o.dst, "true"...)
	}
	o.text("name", m.Name)
	o.text("image", m.Image)
	if m.Stock != nil {
		o.key("stock")
		o.dst = strconv.AppendInt(o.dst, *m.Stock, 10)
	}
	o.text("country", m.Country)
	if m.StoreId != nil {
		o.key("storeId")
		o.dst = appendString(o.dst, *m.StoreId)
	}
	if m.ParentId != nil {
		o.key("parentId")
		o.dst = strconv.AppendUint(o.dst, uint64(*m.ParentId), 10)
	}
	if len(m.Attributes) > 0 {
		o.key("attributes")
		o.dst = appendAttributes(o.dst, slices.Sorted(maps.Keys(m.Attributes)), m.Attributes)
	}
	o.text("type", m.Type)
	o.text("disclaimer", m.Disclaimer)
	o.text("saleStatus", m.SaleStatus)
	o.text("brand", m.Brand)
	o.text("category", m.Category)
	o.text("sellerId", m.SellerId)
	o.text("sellerName", m.SellerName)
	o.text("currency", m.Currency)
	o.text("taxRounding", m.TaxRounding)
	o.text("taxLevel", m.TaxLevel)
	return o.end()
}

// object appends the members of a JSON object; text, int and uint leave out the empty value, as omitempty does.
type object struct {
	dst  []byte
	some bool // there is a member already
}

func (o *object) key(name string) {
	sep := byte(',')
	if !o.some {
		sep, o.some = '{', true
	}
	o.dst = append(append(append(o.dst, sep, '"'), name...), '"', ':')
}

func (o *object) text(name, s string) {
	if s != "" {
		o.key(name)
		o.dst = appendString(o.dst, s)
	}
}

func (o *object) int(name string, n int64) {
	if n != 0 {
		o.key(name)
		o.dst = strconv.AppendInt(o.dst, n, 10)
	}
}

func (o *object) uint(name string, n uint32) { o.int(name, int64(n)) }

func (o *object) end() []byte {
	if !o.some {
		return append(o.dst, "{}"...)
	}
	return append(o.dst, '}')
}
