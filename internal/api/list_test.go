package api_test

import (
	"context"
	"encoding/json"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cartd/internal/api"
	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/internal/readmodel"
)

// lateList is a read model over the shop's store, which is made when the shop is.
type lateList struct{ *readmodel.Model }

// openListing starts a shop with a list of its carts, and subscriptions. Nothing tells the list: all of it comes out of the log.
func openListing(t *testing.T) *shop {
	t.Helper()
	list := &lateList{}
	s := openShop(t, func(o *api.Options) {
		o.List = list
		subscribe(t, o, noWayOut{})
	})
	cfg := grain.Config(s.store, grain.Limits{}, grain.Options{})
	model := readmodel.Open(filepath.Join(t.TempDir(), "list.db"), readmodel.Options{Store: s.store,
		Read: func(ctx context.Context, id eventlog.StreamID) (grain.Summary, error) {
			return grain.ReadSummary(ctx, cfg, s.store, id)
		}})
	list.Model = model
	t.Cleanup(func() {
		if err := model.Close(); err != nil {
			t.Error(err)
		}
	})
	for s.request("GET", "/v1/carts", "", asBackend...).status == 503 { // it is being built
		if t.Context().Err() != nil {
			t.Fatal("it is never built")
		}
	}
	return s
}

type listed struct {
	Carts []struct {
		ID, Status, UserID, Currency string
		Total                        int64
		Lines                        int
		Version                      uint64
		CreatedAt, UpdatedAt         time.Time
	}
	Next string
}

func (s *shop) list(query string) (l listed) {
	s.t.Helper()
	a := s.want(s.request("GET", "/v1/carts?"+query, "", asBackend...), 200, "")
	if err := json.Unmarshal(a.body, &l); err != nil {
		s.t.Fatalf("%s: %v", a.body, err)
	}
	return l
}

func (l listed) ids() (ids []string) {
	for _, c := range l.Carts {
		ids = append(ids, c.ID)
	}
	return ids
}

func TestListOfCartsShowsWhatWasAnswered(t *testing.T) {
	s := openListing(t)
	if a := s.request("GET", "/v1/carts", "", asBackend...); string(a.body) != `{"carts":[],"next":""}` {
		t.Errorf("no carts: got %s", a.body)
	}
	for _, id := range []string{"a1", "a2", "a3", "a4"} {
		s.want(s.request("POST", "/v1/carts", `{"id":"`+id+`","currency":"GBP","userId":"u-`+id+`"}`, asBackend...), 201, "")
	}
	s.want(s.request("POST", "/v1/carts/a2/items", `{"sku":"85123A","quantity":6}`), 200, "")
	cart := s.want(s.request("GET", "/v1/carts/a2", ""), 200, "")
	s.want(s.request("DELETE", "/v1/carts/a3", ""), 204, "")
	s.want(s.request("POST", "/v1/carts/a2/checkout", `{"orderId":"o1"}`), 200, "")

	if got := s.list("").ids(); !slices.Equal(got, []string{"a1", "a2", "a4"}) {
		t.Errorf("all: got %q", got)
	}
	l := s.list("status=checkout")
	if len(l.Carts) != 1 {
		t.Fatalf("in checkout: got %+v", l)
	}
	c := l.Carts[0]
	if c.ID != "a2" || c.Status != "checkout" || c.UserID != "u-a2" || c.Currency != "GBP" || c.Lines != 1 || c.Version != 3 ||
		json.Number(cart.field("totalPrice.incVat")).String() == "0" || cart.field("createdAt") != c.CreatedAt.Format("2006-01-02T15:04:05.000Z") || c.UpdatedAt.Before(c.CreatedAt) {
		t.Errorf("got %+v, the cart is %s", c, cart.body)
	}
	if total, _ := json.Number(cart.field("totalPrice.incVat")).Int64(); total != c.Total {
		t.Errorf("total is %d, want %d", c.Total, total)
	}
	for query, want := range map[string]string{
		"status=deleted": "a3", "status=ordered": "", "userId=u-a4": "a4", "userId=u": "", "userId=u-a4&status=checkout": "",
		"updatedBefore=2020-01-01T00:00:00Z": "", "limit=1": "a1", "status=open&limit=1000": "a1 a4",
		"updatedBefore=" + url.QueryEscape(time.Now().Add(time.Hour).Format(time.RFC3339)): "a1 a2 a4",
	} {
		if got := strings.Join(s.list(query).ids(), " "); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	first := s.list("limit=2")
	second := s.list("limit=2&cursor=" + first.Next)
	if got := append(first.ids(), second.ids()...); !slices.Equal(got, []string{"a1", "a2", "a4"}) || second.Next != "" {
		t.Errorf("pages: got %q, then %q", got, second.Next)
	}
}

func TestListOfCartsRefusesWhatItCannotRead(t *testing.T) {
	s := openListing(t)
	for query, code := range map[string]string{
		"limit=0": "validation_failed", "limit=1001": "validation_failed", "status=lost": "validation_failed",
		"limit=x": "invalid_request", "limit=1&limit=2": "invalid_request", "cursor=abc": "invalid_request",
		"updatedBefore=yesterday": "invalid_request", "%zz": "invalid_request",
	} {
		status := 400
		if code == "validation_failed" {
			status = 422
		}
		s.want(s.request("GET", "/v1/carts?"+query, "", asBackend...), status, code)
	}
	s.want(s.request("GET", "/v1/carts", ""), 401, "unauthorized")
	s.want(openShop(t, nil).request("GET", "/v1/carts", "", asBackend...), 404, "not_found")
}

type building struct{}

func (building) List(context.Context, readmodel.Query) (readmodel.Page, error) {
	return readmodel.Page{}, readmodel.ErrBuilding
}

func TestListOfCartsThatIsBeingBuiltIsUnavailable(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.List = building{} })
	a := s.want(s.request("GET", "/v1/carts", "", asBackend...), 503, "unavailable")
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
