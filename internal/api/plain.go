package api

// plainAdd is what most adds are: a product, how many, and a country.
type plainAdd struct {
	sku, country string
	quantity     int64
}

// decodePlainAdd reads a body like {"sku": "85123A", "quantity": 1, "country": "GB"}: sku and quantity once each, country
// once or not at all, strings of ASCII characters without escapes, an integer of at most 18 digits. It is several times
// as fast as decode, and takes nothing that decode refuses or reads otherwise; whatever it does not take, ok being false,
// is for decode, which says what is wrong.
func decodePlainAdd(b body) (add plainAdd, ok bool) {
	s := scanner{rest: b}
	var sku, quantity, country bool
	if !s.skip('{') {
		return add, false
	}
	for {
		name, ok := s.text()
		if !ok || !s.skip(':') {
			return add, false
		}
		var value []byte
		switch {
		case string(name) == "sku" && !sku:
			value, sku = s.text()
			add.sku, ok = string(value), sku
		case string(name) == "country" && !country:
			value, country = s.text()
			add.country, ok = string(value), country
		case string(name) == "quantity" && !quantity:
			add.quantity, quantity = s.integer()
			ok = quantity
		default:
			ok = false
		}
		switch {
		case !ok:
			return add, false
		case s.skip(','):
		default:
			return add, s.skip('}') && s.end() && sku && quantity
		}
	}
}

// scanner reads the simplest of JSON.
type scanner struct{ rest []byte }

func (s *scanner) space() {
	for len(s.rest) > 0 && (s.rest[0] == ' ' || s.rest[0] == '\t' || s.rest[0] == '\r' || s.rest[0] == '\n') {
		s.rest = s.rest[1:]
	}
}

// skip skips white space and c, and reports whether c was there.
func (s *scanner) skip(c byte) bool {
	s.space()
	if len(s.rest) == 0 || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// end reports whether nothing but white space is left.
func (s *scanner) end() bool {
	s.space()
	return len(s.rest) == 0
}

// text returns a string that stands for itself.
func (s *scanner) text() ([]byte, bool) {
	if !s.skip('"') {
		return nil, false
	}
	for i, c := range s.rest {
		switch {
		case c == '"':
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text, true
		case c < ' ' || c == '\\' || c > '~':
			return nil, false
		}
	}
	return nil, false
}

// integer returns an integer without leading zeros.
func (s *scanner) integer() (n int64, ok bool) {
	s.space()
	i := 0
	negative := len(s.rest) > 0 && s.rest[0] == '-'
	if negative {
		i++
	}
	first := i
	for ; i < len(s.rest) && '0' <= s.rest[i] && s.rest[i] <= '9'; i++ {
		n = 10*n + int64(s.rest[i]-'0')
		if i-first >= 18 {
			return 0, false
		}
	}
	if i == first || s.rest[first] == '0' && i > first+1 {
		return 0, false
	}
	s.rest = s.rest[i:] // what follows is looked at by who goes on: 1.5 and 1e3 have no comma or brace there
	if negative {
		n = -n
	}
	return n, true
}
