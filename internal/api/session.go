package api

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"cartd/internal/cluster"
	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// session is what handlers have to know of a request of the session API. It is empty elsewhere.
type session struct {
	cart grain.CartID // in whose place none is in the path
	body body         // of a change: read once, though it may be tried on two carts
}

// session makes a handler of the resource API one of the session API: its cart is that of the cookie, which need not
// exist yet. If that cart is over, a change is tried on a new one.
func (s *server) session(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := s.crossOrigin.Check(r); err != nil { // GET passes
			return fault("cross_site", "a page of another origin may not change the cart; an origin of the shop's own is named by --cors-origin")
		}
		read := r.Method == http.MethodGet || r.Method == http.MethodHead
		id, known := cookieCart(r)
		if !known {
			id = freshCart()
			if !read || r.Header.Get("Sec-Fetch-Site") != "cross-site" { // it did not send its own, and might forget that for this
				s.setCookie(w, r, id)
			}
		}
		w.Header().Add("Vary", "Cookie") // versions of two carts have the same entity tags
		x := &exchangeOf(r).session
		x.cart = id
		if read {
			return h(w, r)
		}
		var err error
		if x.body, err = readBody(r); err != nil {
			return err
		}
		err = h(w, r)
		if err == nil || !known || !over(err) || r.Header["If-Match"] != nil { // who names a version means this cart
			return err
		}
		return s.startAnew(w, r, h, err)
	}
}

// over reports whether err says that a cart takes no changes any more: it has come to its end, or is somebody else's by
// now.
func over(err error) bool {
	switch problemOf(err).Code {
	case "cart_ordered", "cart_merged", "cart_deleted", "cart_expired", "cart_not_found":
		return true
	}
	return false
}

// took reports whether a cart has taken the request before: its repeat is not to be applied to another.
func (s *server) took(r *http.Request, id grain.CartID) (bool, error) {
	key, err := idempotencyKey(r)
	if err != nil || key == "" {
		return false, err
	}
	reply, err := s.ask(r, id, &actor.Query{Key: key, Minimal: true})
	if err != nil {
		return false, nothingChanged(err)
	}
	return reply.Replayed, nil
}

// nothingChanged is err, of a request that had not come to its change yet.
func nothingChanged(err error) error {
	if errors.Is(err, cluster.ErrOutcomeUnknown) {
		return fmt.Errorf("%w: %w", errTooLate, err)
	}
	return err
}

// startAnew tries a change on the cart that follows on the session's, which has ended with the error ended. What only
// fails because the new cart is empty is answered as the old one did; nothing is stored then, and the cookie stays.
func (s *server) startAnew(w http.ResponseWriter, r *http.Request, h handler, ended error) error {
	x := &exchangeOf(r).session
	if took, err := s.took(r, x.cart); took || err != nil {
		return cmp.Or(err, ended)
	}
	next, err := s.successor(r, x.cart)
	if err != nil {
		return err
	}
	x.cart = next
	s.setCookie(w, r, next)
	if err = h(w, r); err == nil {
		return nil
	}
	p := problemOf(err)
	if p.Code != "outcome_unknown" { // then its repeat is to find what it may have made
		w.Header().Del("Set-Cookie")
	}
	if p.Status == http.StatusNotFound || p.Status == http.StatusConflict {
		return ended
	}
	return err
}

// rendezvous is for how long a new cart is found with the cookie of the one before: longer than any request is on its way
// that a browser sent before it had the new cookie, and no longer. Who learns the id of an ordered cart in some other way
// is not to be led to what is bought next.
const rendezvous = time.Minute

// maxSuccessors bounds the carts that are looked at for one that follows on another.
const maxSuccessors = 16

// successor returns the cart that follows on one that is over. Requests that come at once with the same cookie, from two
// tabs say, get the same, or the browser would keep one of their carts and lose the other. It is not to be guessed from
// the old id: the key is this process's secret. A restart forgets it, but also ends all requests that could meet.
func (s *server) successor(r *http.Request, old grain.CartID) (grain.CartID, error) {
	for n := range byte(maxSuccessors) {
		mac := hmac.New(sha256.New, s.successorKey[:])
		io.WriteString(mac, string(old)) //nolint:errcheck // a hash never fails
		mac.Write([]byte{n})
		id := grain.CartIDOf([16]byte(mac.Sum(nil)))
		reply, err := s.ask(r, id, &actor.Query{})
		switch {
		case err != nil:
			return "", nothingChanged(err)
		case reply.Refusal != nil:
			continue
		case reply.Version == 0:
			return id, nil
		}
		cart, err := readView(reply.View)
		if err != nil {
			return "", err
		}
		if (cart.Status == string(grain.StatusOpen) || cart.Status == string(grain.StatusCheckout)) && time.Since(cart.CreatedAt) < rendezvous {
			return id, nil
		}
	}
	return freshCart(), nil
}

// create makes a change of the session API one that makes its cart, if there is none.
func (s *server) create(r *http.Request, c *change) {
	if exchangeOf(r).session.cart == "" || r.Header["If-Match"] != nil {
		return
	}
	c.created = &messages.CartCreated{Currency: s.Currency}
	c.cmd.MustExist, c.cmd.Create = false, c.created
}

// mayBeNew reports whether the request's cart does not exist and would be made by a change.
func (s *server) mayBeNew(r *http.Request, id grain.CartID) bool {
	if exchangeOf(r).session.cart == "" || r.Header["If-Match"] != nil {
		return false
	}
	reply, err := s.ask(r, id, &actor.Query{Minimal: true})
	return err == nil && reply.Refusal == nil && reply.Version == 0
}
