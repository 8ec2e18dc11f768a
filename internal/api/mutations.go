package api

import (
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/protobuf/proto"

	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// applyMutations applies any registered mutations, all or nothing.
func (s *server) applyMutations(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Mutations []struct {
			Type    string         `json:"type"`
			Payload jsontext.Value `json:"payload"`
		} `json:"mutations"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	if n := len(req.Mutations); n == 0 || n > s.MaxMutations {
		return s.refuse(w, r, c, invalid("mutations", "must have 1 to %d entries", s.MaxMutations))
	}
	c.list = "mutations[%d].payload"
	var checkout *messages.InitializeCheckout
	for i, m := range req.Mutations {
		at := "mutations[" + strconv.Itoa(i) + "]"
		mutation, ok := s.Registry.Create(m.Type)
		if !ok || grain.Settles(m.Type) {
			return invalid(at+".type", "there is no mutation %.64q", m.Type)
		}
		if len(m.Payload) > 0 {
			if err := body(m.Payload).decode(members(mutation)); err != nil {
				p := *problemOf(err)
				p.Detail = at + ".payload: " + p.Detail
				return &p
			}
		}
		s.complete(mutation)
		if m, ok := mutation.(*messages.InitializeCheckout); ok {
			checkout = m
		}
		c.cmd.Steps = append(c.cmd.Steps, actor.Step{Mutation: mutation})
	}
	return s.finishCheckout(w, r, c, checkout)
}

// members returns what the payload of m is read into: m itself, or, if it has no members, a struct that takes none. Package
// json refuses to read an object into a message without members, because it takes the fields of protobuf's own, which
// are not exported, for an oversight.
func members(m actor.Mutation) any {
	if msg, ok := m.(proto.Message); ok && msg.ProtoReflect().Descriptor().Fields().Len() == 0 {
		return new(struct{})
	}
	return m
}

// complete adds what this server is set to where a mutation leaves it open: events hold all that replay needs.
func (s *server) complete(m actor.Mutation) {
	switch m := m.(type) {
	case *messages.AddItem:
		if m.TaxRounding == "" {
			m.TaxRounding = s.TaxRounding
		}
		if m.TaxLevel == "" {
			m.TaxLevel = s.TaxLevel
		}
	case *messages.InitializeCheckout:
		if m.TtlMillis == 0 {
			m.TtlMillis = s.CheckoutTTL.Milliseconds()
		}
		m.LimitsHeld, m.Reservation, m.Reserved = true, "", nil // what is kept is this server's to say
	}
}
