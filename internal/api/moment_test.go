package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"cartd/internal/api"
	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/pkg/actor"
)

// story is what a cart was at each of its versions.
type story struct {
	shop  *shop
	path  string
	views map[string]string // by version
	times map[string]time.Time
}

// note reads the cart as it is.
func (st *story) note() {
	st.shop.t.Helper()
	a := st.shop.want(st.shop.request("GET", st.path, ""), 200, "")
	at, err := time.Parse(time.RFC3339, a.field("updatedAt"))
	if err != nil {
		st.shop.t.Fatal(err)
	}
	st.views[a.field("version")], st.times[a.field("version")] = string(a.body), at
}

// check reads each version again, by its number and by its time.
func (st *story) check() {
	st.shop.t.Helper()
	for version, want := range st.views {
		a := st.shop.want(st.shop.request("GET", st.path+"?version="+version, ""), 200, "")
		if tag := `"main-` + version + `"`; string(a.body) != want || a.header.Get("ETag") != tag {
			st.shop.t.Errorf("version %s is shown as %s\n%s\nit was\n%s", version, a.header.Get("ETag"), a.body, want)
		}
		a = st.shop.want(st.shop.request("GET", st.path+"?at="+st.times[version].Format(time.RFC3339Nano), ""), 200, "")
		if at := st.times[a.field("version")]; st.views[a.field("version")] != string(a.body) || !at.Equal(st.times[version]) {
			st.shop.t.Errorf("at the time of version %s there was\n%s", version, a.body)
		}
	}
}

func TestCartIsReadAsItWasAtEachVersion(t *testing.T) {
	s := openShop(t, nil)
	st := &story{shop: s, path: s.newCart(), views: map[string]string{}, times: map[string]time.Time{}}
	st.note()
	for _, step := range [][3]string{
		{"POST", "/items", addLantern},
		{"POST", "/items", `{"items":[{"sku":"71053","quantity":2},{"sku":"22752","quantity":1}]}`}, // one commit of two events
		{"POST", "/deliveries", `{"provider":"postnord","items":[1]}`},
		{"POST", "/vouchers", `{"code":"WELCOME10"}`},
		{"PATCH", "/items/1", `{"quantity":3}`},
		{"POST", "/checkout", `{"orderId":"o"}`},
		{"POST", "/order", `{"orderId":"o","status":"paid"}`},
	} {
		s.want(s.request(step[0], st.path+step[1], step[2], asBackend...), 200, "")
		st.note()
	}
	st.check()
	if len(st.views) != 8 || st.views["4"] == "" || st.views["3"] != "" {
		t.Fatalf("there are %d versions, want 8, without the third", len(st.views))
	}
	mid := s.want(s.request("GET", st.path+"?version=3", ""), 200, "")
	if mid.field("items.1.sku") != "71053" || mid.field("items.2.sku") != "" || mid.field("version") != "3" {
		t.Errorf("in the midst of a commit there was %s", mid.body)
	}
	if a := s.request("GET", st.path+"?version=5", "", "If-None-Match", `"main-9", "main-5"`); a.status != 304 || len(a.body) > 0 {
		t.Errorf("what the client has already: got %d %s, want 304", a.status, a.body)
	}
	s.want(s.request("GET", st.path+"?version=5", "", "If-None-Match", `"main-9"`), 200, "")
	if a := s.request("GET", st.path+"?at=2999-01-01T00:00:00Z", ""); string(a.body) != st.views["9"] {
		t.Errorf("in the future: %s", a.body)
	}
	first := st.times["1"].Add(-time.Millisecond).Format(time.RFC3339Nano)
	s.want(s.request("GET", st.path+"?at="+first, ""), 404, "not_found")
	s.want(s.request("GET", "/v1/carts/nobody?version=1", ""), 404, "cart_not_found")
}

func TestOldVersionsOfALongCartAreReadThroughItsSnapshots(t *testing.T) {
	s := openShop(t, nil)
	st := &story{shop: s, path: s.newCart(), views: map[string]string{}, times: map[string]time.Time{}}
	for n := range 6 {
		var batch []string
		for i := range 100 {
			batch = append(batch, fmt.Sprintf(`{"type":"AddItem","payload":{"sku":"s-%d","quantity":%d,"price":199,"tax":2500}}`, i%40, n+1))
		}
		s.want(s.request("POST", st.path+"/mutations", `{"mutations":[`+strings.Join(batch, ",")+`]}`, asBackend...), 200, "")
		st.note()
	}
	s.want(s.request("POST", st.path+"/items", addLantern), 200, "")
	st.note()
	st.check()
}

func TestDeletedCartHasNoPast(t *testing.T) {
	s := openShop(t, nil)
	cart := s.cartOf("85123A", 6)
	s.want(s.request("DELETE", cart, ""), 204, "")
	for _, query := range []string{"?version=1", "?version=3", "?version=9", "?at=2999-01-01T00:00:00Z", "?at=2026-01-01T00:00:00Z"} {
		s.want(s.request("GET", cart+query, ""), 410, "cart_deleted")
	}
}

// slowHistory answers when the request's time is over.
type slowHistory struct{}

func (slowHistory) At(ctx context.Context, _ eventlog.StreamID, _ actor.Moment) (*grain.Past, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestHistoryThatTakesTooLongIsUnavailable(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.History, o.Timeout = slowHistory{}, time.Second })
	cart := s.newCart()
	if a := s.want(s.request("GET", cart+"?version=1", ""), http.StatusServiceUnavailable, "unavailable"); a.header.Get("Retry-After") == "" {
		t.Error("it is not said when to try again")
	}
}
