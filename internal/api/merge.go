package api

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"cartd/internal/cluster"
	"cartd/internal/courier"
	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// merge takes over the lines of another cart. That cart's log says first that it is to happen; the courier sees to the
// rest, whether or not somebody waits here: see docs/protocols.md.
func (s *server) merge(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		From string `json:"from"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	if c.cmd.Branch != "" {
		return invalid("branch", "carts are merged into main alone")
	}
	// Asked last, or of a repeat alone, it finds the lines there, and remembers the key.
	c.cmd.Steps = []actor.Step{{Mutation: &messages.MergeCart{From: req.From, Again: true}}}
	c.fields = map[string]string{"into": "from", "items": "from", "ids": "from", "markings": "from", "vouchers": "from", "currency": "from"}
	into, err := s.query(r, c.id, &actor.Query{Key: c.cmd.Key, Minimal: true})
	if err != nil {
		return err
	}
	if into.Replayed {
		return s.finish(w, r, c)
	}
	from, err := grain.ParseCartID(req.From)
	switch {
	case req.From == "":
		return invalid("from", "is missing; it is the id of the cart whose lines are taken over")
	case err != nil:
		return cartNotFound()
	case from == c.id:
		return invalid("from", "must be another cart")
	}
	decided, err := s.mergeFrom(r, c, from)
	if err != nil {
		return err
	}
	reply, err := s.merged(r, c, len(decided.Outcomes) > 0)
	if err != nil {
		return err
	}
	reply.Outcomes = decided.Outcomes
	return c.answer(w, http.StatusOK, reply)
}

// mergeTries bounds how often a merge is begun that failed by the condition of somebody else's.
const mergeTries = 3

// mergeFrom begins the merge and waits until it is decided. The reply is that of the cart that takes over the lines; it
// is empty if it had them before.
func (s *server) mergeFrom(r *http.Request, c *change, from grain.CartID) (*actor.Reply, error) {
	watch := s.Courier.Watch(string(eventlog.KindCart), string(from))
	defer watch.Close()
	begin := &change{id: from, fields: c.fields}
	for range mergeTries {
		begin.cmd = actor.Command{MustExist: true, Minimal: true,
			Steps: []actor.Step{{Mutation: &messages.MergeStarted{Into: string(c.id), IfVersion: c.cmd.IfVersion}}}}
		if _, err := s.askChange(r, begin); err != nil {
			if p, ok := errors.AsType[*problem](err); ok {
				p.Mutations = nil // a step of ours, which the client has not asked for
			}
			return nil, err
		}
		results, err := watch.Wait(r.Context())
		if err != nil {
			return nil, fmt.Errorf("wait for the merge: %w: %w", cluster.ErrOutcomeUnknown, err)
		}
		decided, ok := lastMerge(results, grain.MergeErrand(string(c.id)))
		switch {
		case !ok: // it was merged before, if it is
			return &actor.Reply{}, s.wasMerged(r, from)
		case decided == nil:
			return nil, fmt.Errorf("%w: the merge takes long", cluster.ErrOutcomeUnknown)
		case decided.Refusal == nil || decided.Replayed:
			return decided, nil
		case decided.Refusal.Code == actor.CodeVersionConflict && c.cmd.IfVersion == nil:
			continue // whoever began this one wanted another version
		default:
			return nil, c.problemOf(decided)
		}
	}
	return nil, fault("unavailable", "others merge the same carts; nothing was changed")
}

// lastMerge returns what became of the last errand whose name begins so.
func lastMerge(results []courier.Result, name string) (decided *actor.Reply, ok bool) {
	for _, res := range results {
		if strings.HasPrefix(res.Name, name) {
			decided, ok = res.Decided, true
		}
	}
	return decided, ok
}

// wasMerged returns nil if the cart is merged: only into the one that was asked for, or it would have said so.
func (s *server) wasMerged(r *http.Request, from grain.CartID) error {
	reply, err := s.query(r, from, &actor.Query{})
	if err != nil {
		return err
	}
	if v, err := readView(reply.View); err != nil || v.Status == string(grain.StatusMerged) {
		return err
	}
	return fmt.Errorf("%w: the merge is under way elsewhere", cluster.ErrOutcomeUnknown)
}

// merged returns the cart as it is now. With a key that is a change without effect, by which the cart remembers the key; it
// fits into a cart that is full, if the lines have come by this request. That nothing was applied is not to be said any more.
func (s *server) merged(r *http.Request, c *change, came bool) (reply *actor.Reply, err error) {
	if c.cmd.Key == "" {
		reply, err = s.query(r, c.id, &actor.Query{Minimal: c.cmd.Minimal})
	} else {
		c.cmd.IfVersion, c.cmd.Settles = nil, came // the version held when the lines came
		reply, err = s.askChange(r, c)
	}
	if err != nil && problemOf(err).Status == http.StatusServiceUnavailable {
		err = fmt.Errorf("%w: the lines are there: %v", cluster.ErrOutcomeUnknown, err)
	}
	return reply, err
}
