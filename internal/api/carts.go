package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cartd/internal/cluster"
	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// createCart stores an empty cart.
func (s *server) createCart(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		ID       *string `json:"id"`
		Currency string  `json:"currency"`
		Country  string  `json:"country"`
		UserID   string  `json:"userId"`
	}
	b, err := readBody(r)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(b)) > 0 { // all of it may be left out
		if err := b.decode(&req); err != nil {
			return err
		}
	}
	if !validCountry(req.Country) {
		return invalid("country", "must be two letters")
	}
	id := grain.NewCartID()
	if req.ID != nil {
		if !s.tokens.allow(r) {
			return fault("unauthorized", "only the shop's backend may choose a cart's id")
		}
		if id, err = grain.ParseCartID(*req.ID); err != nil {
			return invalid("id", "%s", err)
		}
	}
	if req.UserID != "" {
		if err := mayBind(r, req.UserID); err != nil {
			return err
		}
	}
	if req.Currency == "" {
		req.Currency = s.Currency
	}
	c := &change{id: id, body: b}
	c.cmd.Minimal = wantsMinimal(r)
	c.cmd.Steps = []actor.Step{{Mutation: &messages.CartCreated{Currency: req.Currency, Country: strings.ToUpper(req.Country), UserId: req.UserID}}}
	reply, err := s.askChange(r, c)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/carts/"+string(id))
	return c.answer(w, http.StatusCreated, reply)
}

func (s *server) readCart(w http.ResponseWriter, r *http.Request) error {
	id, err := cartID(r)
	if err != nil {
		return err
	}
	m, past, err := momentOf(r)
	if err != nil {
		return err
	}
	reply, err := s.query(r, id, &actor.Query{Minimal: past})
	if err != nil {
		return err
	}
	version, view := reply.Version, reply.View
	if past {
		if m.Version > version {
			return neverWas()
		}
		then, err := s.then(r, id, m)
		if err != nil {
			return err
		}
		if version = then.Version(m.Branch); version == 0 || m.Version > 0 && version != m.Version {
			return neverWas()
		}
		view = then.View(m.Branch)
	}
	tag := etag(m.Branch, version)
	w.Header().Set("ETag", tag)
	if has, err := ifNoneMatch(r, tag); err != nil {
		return err
	} else if has {
		w.Header().Set("Cache-Control", "private, no-cache")
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	writeJSON(w, http.StatusOK, view)
	return nil
}

// query asks the grain for the branch that the request is about, and returns the problem if there is none to be seen.
func (s *server) query(r *http.Request, id grain.CartID, q *actor.Query) (reply *actor.Reply, err error) {
	if q.Branch, err = branchOf(r); err != nil {
		return nil, err
	}
	reply, err = s.ask(r, id, q)
	switch {
	case errors.Is(err, cluster.ErrOutcomeUnknown): // nothing was to be changed
		return nil, fmt.Errorf("%w: %w", errTooLate, err)
	case err != nil:
		return nil, err
	case reply.Refusal != nil:
		return nil, problemOfRefusal(reply.Refusal)
	case reply.Version == 0:
		return nil, cartNotFound()
	}
	return reply, nil
}

func (s *server) deleteCart(w http.ResponseWriter, r *http.Request) error {
	c, err := s.readChange(r, nil)
	if err != nil {
		return err
	}
	c.cmd.Minimal = true
	c.cmd.Steps = []actor.Step{{Mutation: &messages.CartDeleted{}}}
	reply, err := s.askChange(r, c)
	if err != nil && (reply == nil || !reply.Replayed) {
		return err
	}
	if reply.Replayed { // the same request again; that the cart is gone is its result
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// listEvents answers a page of a cart's events.
func (s *server) listEvents(w http.ResponseWriter, r *http.Request) error {
	id, err := cartID(r)
	if err != nil {
		return err
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		return fault("not_found", "this server has pages of events, and no stream of them")
	}
	q, err := eventsQuery(r)
	if err != nil {
		return err
	}
	if q.Branch, err = presentBranch(r); err != nil {
		return err
	}
	if _, err := s.query(r, id, &actor.Query{Minimal: true}); err != nil {
		return err
	}
	stream, err := eventlog.ParseStreamID(eventlog.KindCart, string(id))
	if err != nil {
		return errors.Join(cartNotFound(), err)
	}
	page, err := s.Events.ReadPage(r.Context(), stream, q)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, appendPage(nil, page))
	return nil
}
