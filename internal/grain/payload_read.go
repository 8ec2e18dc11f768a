package grain

import (
	"math"
	"unicode/utf8"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// readAddItem reads the payload of an AddItem as AppendPayload writes it. It takes nothing that encoding/json refuses or
// reads otherwise; whatever it does not take, ok being false, is for encoding/json: white space, escapes, attributes,
// members that it does not know. Most events of a cart are AddItem, and a replay spends half of its time on decoding
// their payloads if all are left to encoding/json.
func readAddItem(payload []byte) (_ actor.Mutation, ok bool) {
	m, r := new(messages.AddItem), members{rest: payload}
	for r.next() {
		switch string(r.name) {
		case "itemId":
			m.ItemId = r.uint32()
		case "sku":
			m.Sku = r.text()
		case "quantity":
			m.Quantity = r.int()
		case "price":
			m.Price = r.int()
		case "orgPrice":
			m.OrgPrice = r.int()
		case "tax":
			m.Tax = r.int()
		case "priceExVat":
			m.PriceExVat = true
			r.skip("true")
		case "name":
			m.Name = r.text()
		case "image":
			m.Image = r.text()
		case "stock":
			m.Stock = new(r.int())
		case "country":
			m.Country = r.text()
		case "storeId":
			m.StoreId = new(r.text())
		case "parentId":
			m.ParentId = new(r.uint32())
		case "type":
			m.Type = r.text()
		case "disclaimer":
			m.Disclaimer = r.text()
		case "saleStatus":
			m.SaleStatus = r.text()
		case "brand":
			m.Brand = r.text()
		case "category":
			m.Category = r.text()
		case "sellerId":
			m.SellerId = r.text()
		case "sellerName":
			m.SellerName = r.text()
		case "currency":
			m.Currency = r.text()
		case "taxRounding":
			m.TaxRounding = r.text()
		case "taxLevel":
			m.TaxLevel = r.text()
		default:
			r.odd = true
		}
	}
	return m, r.whole()
}

// members reads the members of a JSON object without white space. What is not of the plainest sort is odd.
type members struct {
	rest []byte
	name []byte // of the member whose value is next
	some bool   // there was a member
	odd  bool
}

// next reads the name of the next member; false when there is none.
func (r *members) next() bool {
	switch {
	case r.odd || len(r.rest) == 0 || r.rest[0] == '}':
		return false
	case r.some:
		r.skip(",")
	default:
		r.skip("{")
		if len(r.rest) > 0 && r.rest[0] == '}' {
			r.some = true
			return false
		}
	}
	r.some = true
	r.name = r.quoted()
	r.skip(":")
	return !r.odd
}

// whole reports whether all was read, and nothing was odd.
func (r *members) whole() bool { return r.some && !r.odd && string(r.rest) == "}" }

func (r *members) skip(s string) {
	if len(r.rest) < len(s) || string(r.rest[:len(s)]) != s {
		r.odd = true
		return
	}
	r.rest = r.rest[len(s):]
}

// quoted returns what stands for itself between quotes.
func (r *members) quoted() []byte {
	r.skip(`"`)
	ascii := true
	for i, c := range r.rest {
		switch {
		case c == '"':
			text := r.rest[:i]
			r.rest = r.rest[i+1:]
			r.odd = r.odd || !ascii && !utf8.Valid(text)
			return text
		case c >= utf8.RuneSelf:
			ascii = false
		case !plain[c]:
			r.odd = true
			return nil
		}
	}
	r.odd = true
	return nil
}

func (r *members) text() string { return string(r.quoted()) }

// int returns an integer of at most 18 digits, without leading zeros.
func (r *members) int() (n int64) {
	negative := len(r.rest) > 0 && r.rest[0] == '-'
	if negative {
		r.rest = r.rest[1:]
	}
	i := 0
	for ; i < len(r.rest) && i < 19 && '0' <= r.rest[i] && r.rest[i] <= '9'; i++ {
		n = 10*n + int64(r.rest[i]-'0')
	}
	if i == 0 || i > 18 || r.rest[0] == '0' && i > 1 {
		r.odd = true
		return 0
	}
	r.rest = r.rest[i:] // what follows is looked at by next and whole: 1.5 and 1e3 have no comma or brace there
	if negative {
		return -n
	}
	return n
}

func (r *members) uint32() uint32 {
	if len(r.rest) > 0 && r.rest[0] == '-' {
		r.odd = true
		return 0
	}
	n := r.int()
	if n > math.MaxUint32 {
		r.odd = true
		return 0
	}
	return uint32(n)
}
