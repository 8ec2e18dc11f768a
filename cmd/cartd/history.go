package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"cartd/internal/grain"
	"cartd/pkg/actor"
)

// historyCmd is `cartd history`.
type historyCmd struct {
	ID           string `arg:"" placeholder:"ID" help:"The cart."`
	URL          string `name:"url" default:"http://127.0.0.1:8080" help:"Address of the API."`
	JSON         bool   `name:"json" help:"Print the story as JSON."`
	BackendToken string `help:"The server's backend token, if the cart is not for everybody to see. Better set in the environment than on the command line."`
}

// step is what one event has done to a cart.
type step struct {
	Version uint64    `json:"version"`
	Time    time.Time `json:"time"`
	Type    string    `json:"type"`
	Changes []string  `json:"changes"` // in words
	Status  string    `json:"status"`
	Lines   int       `json:"lines"`
	Units   int64     `json:"units"`
	Total   int64     `json:"total"` // with VAT, minor units
	Delta   int64     `json:"delta"` // what the step has added to it
}

// story is what has become of a cart.
type story struct {
	CartID   string `json:"cartId"`
	Currency string `json:"currency"`
	Steps    []step `json:"steps"`
}

// Run prints the cart's story.
func (c *historyCmd) Run(ctx context.Context) error {
	told, err := c.tell(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, told)
	}
	return told.print(os.Stdout)
}

// tell fetches the cart's events and replays them, as an activation does. When that does not come to the cart that the
// server has, it asks for the cart at each version: branches have given main content, or ids of lines away.
func (c *historyCmd) tell(ctx context.Context) (*story, error) {
	id, err := grain.ParseCartID(c.ID)
	if err != nil {
		return nil, err
	}
	u, err := apiURL(c.URL, "/v1/carts/"+string(id)+"/events")
	if err != nil {
		return nil, err
	}
	token := ""
	if tokens := backendTokens(c.BackendToken); len(tokens) > 0 {
		token = tokens[0]
	}
	t := newTeller(string(id))
	for after := uint64(0); ; {
		u.RawQuery = "limit=1000&after=" + strconv.FormatUint(after, 10)
		var page struct {
			Events []struct {
				apiEvent
				ID string
			}
			Next, Head uint64
		}
		if err := getJSON(ctx, u, token, &page); err != nil {
			return nil, err
		}
		for i := range page.Events {
			ev := &page.Events[i]
			eventID, err := uuid.Parse(ev.ID)
			if err != nil {
				return nil, fmt.Errorf("version %d: %w", ev.Version, err)
			}
			t.apply(&ev.apiEvent, eventID)
		}
		if page.Next <= after || page.Next >= page.Head {
			break
		}
		after = page.Next
	}
	show := func(version uint64) (cart shownCart, err error) {
		at, err := apiURL(c.URL, "/v1/carts/"+string(id))
		if err == nil {
			at.RawQuery = "version=" + strconv.FormatUint(version, 10)
			err = getJSON(ctx, at, token, &cart)
		}
		return cart, err
	}
	if err := t.check(show); err != nil {
		return nil, err
	}
	return &t.story, nil
}

// teller replays a cart, and says what each event has changed.
type teller struct {
	story
	registry *actor.MutationRegistry[grain.Cart]
	cart     grain.Cart
	info     actor.Info
	was      shownCart
	unsure   bool // an event could not be replayed
}

func newTeller(id string) *teller {
	// What was accepted is not measured again: the server's limits are its own.
	unlimited := grain.Limits{MaxLines: math.MaxInt, MaxQuantity: math.MaxInt64, MaxMergeBytes: math.MaxInt}
	return &teller{story: story{CartID: id, Steps: []step{}}, registry: grain.Registry(unlimited), info: actor.Info{ID: id}}
}

// shownCart is the part of a cart's JSON that a story is about.
type shownCart struct {
	Status, Currency, UserID string
	Items                    []struct {
		ID         uint32
		SKU        string
		Qty        int64
		TotalPrice struct{ IncVat int64 }
		Meta       struct{ Name string }
	}
	Deliveries []struct {
		ID       uint32
		Provider string
	}
	Vouchers []struct {
		ID    uint32
		Code  string
		Value int64
	}
	TotalPrice     struct{ IncVat int64 }
	OrderReference string
}

// apply adds the step of one event.
func (t *teller) apply(ev *apiEvent, id uuid.UUID) {
	t.info.Version, t.info.Updated = ev.Version, ev.Time
	if t.info.Created.IsZero() {
		t.info.Created = ev.Time
	}
	m, err := t.registry.Decode(ev.Type, ev.Payload)
	if err == nil {
		err = t.registry.Apply(&t.cart, m, actor.Meta{Time: ev.Time, Version: ev.Version, ID: id})
	}
	now := t.was
	if err == nil {
		now = shownCart{}
		err = json.Unmarshal(grain.AppendView(nil, &t.cart, t.info), &now)
	}
	t.unsure = t.unsure || err != nil && !errors.Is(err, actor.NoChange) && ev.Type != "NoChange"
	t.add(ev.Version, ev.Time, ev.Type, now)
}

// check compares the end of the story with what the server shows, and tells the story anew by what it shows of each version
// if they are not the same.
func (t *teller) check(show func(version uint64) (shownCart, error)) error {
	told := t.Steps
	if len(told) == 0 {
		return nil
	}
	last, err := show(told[len(told)-1].Version)
	if err != nil || !t.unsure && reflect.DeepEqual(last, t.was) {
		return err
	}
	t.Steps, t.was = make([]step, 0, len(told)), shownCart{}
	for i := range told {
		now, err := show(told[i].Version)
		if err != nil {
			return err
		}
		t.add(told[i].Version, told[i].Time, told[i].Type, now)
	}
	return nil
}

// add adds a step that has made the cart what it is now.
func (t *teller) add(version uint64, at time.Time, kind string, now shownCart) {
	s := step{Version: version, Time: at, Type: kind, Changes: []string{}}
	before := uint64(0)
	if n := len(t.Steps); n > 0 {
		before = t.Steps[n-1].Version
	}
	if version > before+1 {
		s.Changes = append(s.Changes, "what was here is damaged")
	}
	s.Changes = append(s.Changes, changes(&t.was, &now)...)
	s.Status, s.Lines, s.Total, s.Delta = now.Status, len(now.Items), now.TotalPrice.IncVat, now.TotalPrice.IncVat-t.was.TotalPrice.IncVat
	for i := range now.Items {
		s.Units += now.Items[i].Qty
	}
	t.Currency = now.Currency
	t.was = now
	t.Steps = append(t.Steps, s)
}

// changes says in words what is another way than it was.
func changes(was, now *shownCart) (words []string) {
	say := func(format string, args ...any) { words = append(words, fmt.Sprintf(format, args...)) }
	if was.Status != now.Status {
		if was.Status == "" {
			say("made")
		} else {
			say("%s, was %s", now.Status, was.Status)
		}
	}
	before := map[uint32]int{}
	for i := range was.Items {
		before[was.Items[i].ID] = i
	}
	for i := range now.Items {
		n := &now.Items[i]
		at, there := before[n.ID]
		delete(before, n.ID)
		switch {
		case !there:
			say("+ %d × %s %s", n.Qty, n.SKU, n.Meta.Name)
		case was.Items[at].Qty != n.Qty:
			say("%d × %s, was %d", n.Qty, n.SKU, was.Items[at].Qty)
		case was.Items[at].TotalPrice != n.TotalPrice:
			say("%s costs %s, did %s", n.SKU, money(n.TotalPrice.IncVat, now.Currency), money(was.Items[at].TotalPrice.IncVat, now.Currency))
		}
	}
	for i := range was.Items {
		if _, gone := before[was.Items[i].ID]; gone {
			say("- %d × %s", was.Items[i].Qty, was.Items[i].SKU)
		}
	}
	there := map[string]bool{}
	for _, d := range was.Deliveries {
		there[fmt.Sprint("delivery by ", d.Provider, " (", d.ID, ")")] = true
	}
	for _, v := range was.Vouchers {
		there[fmt.Sprint("voucher ", v.Code, " (", v.ID, ")")] = true
	}
	told := func(name string) {
		if !there[name] {
			say("+ %s", name)
		}
		there[name] = false
	}
	for _, d := range now.Deliveries {
		told(fmt.Sprint("delivery by ", d.Provider, " (", d.ID, ")"))
	}
	for _, v := range now.Vouchers {
		told(fmt.Sprint("voucher ", v.Code, " (", v.ID, ")"))
	}
	for _, d := range was.Deliveries {
		if name := fmt.Sprint("delivery by ", d.Provider, " (", d.ID, ")"); there[name] {
			say("- %s", name)
		}
	}
	for _, v := range was.Vouchers {
		if name := fmt.Sprint("voucher ", v.Code, " (", v.ID, ")"); there[name] {
			say("- %s", name)
		}
	}
	if was.UserID != now.UserID {
		say("user %s", now.UserID)
	}
	if was.OrderReference != now.OrderReference && now.OrderReference != "" {
		say("order %s", now.OrderReference)
	}
	return words
}

// print writes the story for people.
func (s *story) print(to io.Writer) error {
	w := bufio.NewWriter(to)
	for i := range s.Steps {
		st := &s.Steps[i]
		what := strings.Join(st.Changes, "; ")
		if what == "" {
			what = "nothing that shows"
		}
		fmt.Fprintf(w, "v%-4d %s  %-20s %12s", st.Version, st.Time.Local().Format(time.DateTime), printable(st.Type), money(st.Total, s.Currency))
		if st.Delta != 0 {
			fmt.Fprintf(w, " (%s)", signed(st.Delta, s.Currency))
		}
		fmt.Fprintf(w, "  %s\n", printable(what))
	}
	return w.Flush()
}

func signed(n int64, currency string) string {
	if n > 0 {
		return "+" + money(n, currency)
	}
	return money(n, currency)
}

// minorDigits are those of currencies that have other than two (ISO 4217).
var minorDigits = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}

// money writes an amount in minor units.
func money(n int64, currency string) string {
	digits, ok := minorDigits[currency]
	if !ok {
		digits = 2
	}
	sign := ""
	u := uint64(n)
	if n < 0 {
		sign, u = "-", -u
	}
	text := strconv.FormatUint(u, 10)
	if digits > 0 {
		if len(text) <= digits {
			text = strings.Repeat("0", digits-len(text)+1) + text
		}
		text = text[:len(text)-digits] + "." + text[len(text)-digits:]
	}
	return strings.TrimSpace(sign + text + " " + currency)
}
