package grain

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// merging is a merge that has begun: this cart is frozen until the other one has decided.
type merging struct {
	into      string
	started   uint64  // version of the event, which tells this attempt from others
	ifVersion *uint64 // at which the other cart has to be; nil: at any
}

// startMerge freezes the cart, all of whose lines another one is to take over.
func (h rules) startMerge(c *Cart, m *messages.MergeStarted, meta actor.Meta) error {
	switch {
	case c.status == "":
		return actor.Refuse(codeNotFound, "There is no such cart.")
	case c.status == StatusMerged && c.mergedInto == m.Into, c.merging != nil && c.merging.into == m.Into:
		return actor.NoChange
	}
	if err := c.frozen(); err != nil {
		return err
	}
	if _, err := ParseCartID(m.Into); err != nil {
		return invalid("into", "into must be the id of a cart.")
	}
	payload, err := AppendPayload(nil, c.takeover(""))
	if err != nil || len(payload) > h.maxMerge {
		return invalid("from", "There is more in the cart than fits into one merge: %d bytes, at most %d.", len(payload), h.maxMerge)
	}
	c.merging = &merging{into: m.Into, started: meta.Version, ifVersion: m.IfVersion}
	return nil
}

// endMerge ends the cart: the other one has its lines. They stay to be looked at.
func endMerge(c *Cart, m *messages.CartMerged, _ actor.Meta) error {
	if c.status == StatusMerged && c.mergedInto == m.Into {
		return actor.NoChange
	}
	if c.merging == nil {
		if err := c.frozen(); err != nil {
			return err
		}
	}
	if c.merging == nil || c.merging.into != m.Into || c.merging.started != m.Started {
		return invalid("into", "The cart is not being merged into that one.")
	}
	c.status, c.merging, c.mergedInto = StatusMerged, nil, m.Into
	return nil
}

// abortMerge opens the cart again: the other one has not taken the lines, and never will by this attempt.
func abortMerge(c *Cart, m *messages.MergeAborted, _ actor.Meta) error {
	if c.merging == nil {
		if err := c.frozen(); err != nil {
			return err
		}
	}
	if err := checkTexts(field{"code", m.Code, maxKeyBytes}, field{"message", m.Message, maxLongTextBytes}); err != nil {
		return err
	}
	if c.merging == nil || c.merging.into != m.Into || c.merging.started != m.Started {
		return actor.NoChange
	}
	c.merging = nil
	return nil
}

// takeover returns all that another cart takes over from c, whose id is from: its lines, parents before their children,
// and its vouchers. It shares with c only what is never changed.
func (c *Cart) takeover(from string) *messages.MergeCart {
	m := &messages.MergeCart{From: from, Currency: c.currency, UserId: c.userID}
	for i, s := range statesOfLines(c.lines) {
		if i == 0 { // for a cart that has not decided yet
			s.Item.Country = c.country
			s.Item.TaxRounding, s.Item.TaxLevel = c.rounding.names()
		}
		if s.Attributes != "" {
			_ = json.Unmarshal([]byte(s.Attributes), &s.Item.Attributes) // canonical has written them
		}
		if s.Marking != nil {
			s.Marking.Id = s.Id
			m.Markings = append(m.Markings, s.Marking)
		}
		m.Items, m.Ids = append(m.Items, s.Item), append(m.Ids, s.Id)
	}
	for _, s := range statesOfVouchers(c.vouchers) {
		m.Vouchers = append(m.Vouchers, s.Terms)
	}
	return m
}

// mergeCart takes over the lines of another cart, all of them or none. Lines that are the same in all but quantity become
// one, as with addItem; vouchers come along as far as there is room, unless their code is here already. It happens once
// for each other cart, which never has more lines than those.
func (h rules) mergeCart(c *Cart, m *messages.MergeCart, meta actor.Meta) error {
	switch {
	case c.status == StatusDeleted, c.status == StatusExpired:
		return c.closed()
	case slices.Contains(c.takenOver, m.From):
		return actor.NoChange
	}
	if err := c.frozen(); err != nil {
		return err
	}
	if c.status == "" {
		return actor.Refuse(codeNotFound, "There is no such cart.")
	}
	if err := c.takes(m); err != nil {
		return err
	}
	to := c.Clone()
	if err := h.putAll(to, m); err != nil {
		return err
	}
	for _, v := range m.Vouchers {
		if v == nil {
			return invalid("vouchers", "A voucher has no content.")
		}
		if slices.ContainsFunc(to.vouchers, func(have voucher) bool { return have.terms.code == v.GetCode() }) || len(to.vouchers) >= maxVouchers {
			continue
		}
		if err := addVoucher(to, v, meta); err != nil {
			return fromOther("vouchers", err)
		}
	}
	if to.currency == "" {
		to.currency = m.Currency
	}
	to.takenOver = append(to.takenOver, m.From)
	to.reckon(meta.Time)
	*c = *to
	return nil
}

// takes returns why c does not take over the cart that m is about, whatever is in it.
func (c *Cart) takes(m *messages.MergeCart) error {
	if _, err := ParseCartID(m.From); err != nil || m.Again {
		return invalid("from", "The lines of cart %.64q are not here.", m.From)
	}
	if err := checkCurrency(m.Currency); err != nil {
		return err
	}
	if m.Currency != "" && c.currency != "" && m.Currency != c.currency {
		return invalid("from", "The other cart is in %s, this one in %s.", m.Currency, c.currency)
	}
	if m.UserId != "" && c.userID != "" && m.UserId != c.userID {
		return actor.Refuse(codeUserBound, "The other cart belongs to another user.")
	}
	if len(c.takenOver) >= maxTakenOver {
		return invalid("from", "A cart takes over at most %d others.", maxTakenOver)
	}
	return nil
}

// putAll adds the lines. After an error c is of no use.
func (h rules) putAll(c *Cart, m *messages.MergeCart) error {
	if len(m.Ids) != len(m.Items) {
		return invalid("ids", "There are %d ids of %d lines.", len(m.Ids), len(m.Items))
	}
	here := make(map[uint32]uint32, len(m.Ids)) // the other cart's ids, and ours
	markings, last := m.Markings, uint32(0)
	for i, it := range m.Items {
		id := m.Ids[i]
		if id <= last || it == nil {
			return invalid("ids", "Line %d comes after line %d.", id, last)
		}
		last = id
		var marked marking
		if len(markings) > 0 && markings[0].GetId() == id {
			marked = marking{true, markings[0].GetType(), markings[0].GetMarking()}
			if err := checkTexts(field{"marking", marked.text, maxTextBytes}); err != nil {
				return fromOther(fmt.Sprint("line ", id), err)
			}
			markings = markings[1:]
		}
		var parent *uint32
		if it.ParentId != nil {
			known, ok := here[*it.ParentId]
			if !ok {
				return invalid("items", "Line %d belongs to line %d, which does not come before it.", id, *it.ParentId)
			}
			parent = &known
		}
		ours, err := h.putItem(c, it, parent, marked)
		if err != nil {
			return fromOther(fmt.Sprint("line ", id), err)
		}
		here[id] = ours
	}
	if len(markings) > 0 {
		return invalid("markings", "Line %d is marked and not there, or out of order.", markings[0].GetId())
	}
	return nil
}

// fromOther says of a refusal what of the other cart it is about.
func fromOther(what string, err error) error {
	if r, ok := errors.AsType[*actor.Refusal](err); ok {
		named := actor.Refuse(r.Code, "The other cart's %s: %s", what, r.Message)
		named.Field = "from"
		return named
	}
	return err
}
