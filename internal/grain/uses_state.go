package grain

import (
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/proto"

	"cartd/pkg/messages"
)

// appendUsesState appends v to dst as a messages.VoucherState, and returns the extended slice. A voucher has two events
// for each use, for ever: without snapshots an activation of one that is much used would take seconds.
func appendUsesState(dst []byte, v *Voucher) []byte {
	s := &messages.VoucherState{Code: v.code, Whole: 1}
	for _, cart := range slices.Sorted(maps.Keys(v.used)) {
		s.Used = append(s.Used, &messages.VoucherState_Use{Cart: cart, UserId: v.used[cart]})
	}
	for _, name := range slices.Sorted(maps.Keys(v.open)) {
		r := v.open[name]
		s.Open = append(s.Open, &messages.VoucherState_Reservation{Cart: r.cart, Name: name, UserId: r.user, Until: r.until})
	}
	out, err := proto.MarshalOptions{}.MarshalAppend(dst, s)
	if err != nil {
		return dst // not reached: all texts are UTF-8. A state of no bytes is refused when it is read.
	}
	return out
}

// decodeUsesState returns the voucher that appendUsesState wrote. What no replay could have made is an error.
func decodeUsesState(data []byte) (*Voucher, error) {
	var s messages.VoucherState
	if err := proto.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("state of a voucher: %w", err)
	}
	v, err := voucherFrom(&s)
	if err != nil {
		return nil, fmt.Errorf("state of a voucher: %v", err) // not %w: no command was refused
	}
	return v, nil
}

func voucherFrom(s *messages.VoucherState) (*Voucher, error) {
	if err := known(s); err != nil {
		return nil, err
	}
	if s.Whole != 1 {
		return nil, fmt.Errorf("is not whole")
	}
	v := &Voucher{code: s.Code}
	if s.Code != "" || len(s.Open) > 0 {
		if err := checkWord(field{"code", s.Code, maxSKUBytes}); err != nil {
			return nil, err
		}
	}
	for _, u := range s.Used {
		if err := known(u); err != nil {
			return nil, err
		}
		if err := checkUse(u.Cart, "-", u.UserId); err != nil {
			return nil, err
		}
		if _, twice := v.used[u.Cart]; twice {
			return nil, fmt.Errorf("cart %s has used it twice", u.Cart)
		}
		v.use(u.Cart, u.UserId)
	}
	for _, r := range s.Open {
		if err := known(r); err != nil {
			return nil, err
		}
		if err := checkUse(r.Cart, r.Name, r.UserId); err != nil {
			return nil, err
		}
		_, twice := v.open[r.Name]
		_, used := v.used[r.Cart]
		if twice || used || r.Until < 0 || r.Until > maxMoney || v.carts[r.Cart] >= maxReservations {
			return nil, fmt.Errorf("reservation %q of cart %s until %d", r.Name, r.Cart, r.Until)
		}
		v.keep(r.Name, reservation{r.Cart, r.UserId, r.Until})
	}
	return v, nil
}
