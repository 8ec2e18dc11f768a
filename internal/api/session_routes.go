package api

import (
	"maps"
	"slices"

	"cartd/internal/oplog"
	"cartd/internal/subscription"
)

// sessionRoutes are those whose cart is the browser's. A fixed path comes before one with a variable in its place.
func (s *server) sessionRoutes() []route {
	return []route{
		{"/cart", methods{"GET": s.session(s.readCart), "POST": s.session(s.addItems), "PUT": s.session(s.setQuantity), "DELETE": s.session(s.clearItems)}},
		{"/cart/add", methods{"POST": s.session(s.addItems)}},
		{"/cart/voucher", methods{"PUT": s.session(s.putVoucher)}},
		{"/cart/delivery", methods{"POST": s.session(s.addDelivery)}},
		{"/cart/user", methods{"PUT": s.session(s.setUser)}},
		{"/cart/subscription-details", methods{"PUT": s.session(s.setSubscription)}},
		{"/cart/checkout", methods{"POST": s.session(s.startCheckout), "DELETE": s.session(s.abortCheckout)}},
		{"/cart/{id}", methods{"GET": s.readCart, "DELETE": s.session(s.removeItem)}}, // a cart's id to read, a line's to remove
		{"/cart/voucher/{id}", methods{"DELETE": s.session(s.removeVoucher)}},
		{"/cart/delivery/{id}", methods{"DELETE": s.session(s.removeDelivery)}},
		{"/cart/delivery/{id}/pickupPoint", methods{"PUT": s.session(s.setPickupPoint)}},
		{"/cart/item/{id}/marking", methods{"PUT": s.session(s.setMarking), "DELETE": s.session(s.removeMarking)}},
	}
}

// Routes returns what the public port of a server with a backend answers to, like "GET /v1/carts/{id}".
func Routes() (all []string) {
	s := &server{
		Options: Options{Oplog: new(oplog.Log), Streams: &Streams{Log: struct{ EventLog }{}}, Subscriptions: new(subscription.Manager)},
		tokens:  hashTokens([]string{"any"}),
	}
	for _, rt := range s.routes() {
		for _, method := range slices.Sorted(maps.Keys(rt.methods)) {
			all = append(all, method+" "+rt.path)
		}
	}
	return all
}
