package catalog_test

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	"cartd/internal/catalog"
)

func TestDeliveriesComeFromATemplate(t *testing.T) {
	base, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.RequestURI {
		case "/d/dpd?to=IE":
			_, _ = io.WriteString(w, `{"provider":"dpd","price":1290,"tax":2000,"countries":["ie"]}`)
		case "/d/dpd?to=GB":
			_, _ = io.WriteString(w, `{"provider":"dpd","price":745,"tax":2000,"countries":["IE"]}`)
		default:
			http.NotFound(w, r)
		}
	})
	d, err := catalog.OpenDeliveries(t.Context(), base+"/d/{provider}?to={country}", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := d.Delivery(t.Context(), "dpd", "ie"); err != nil || got.Price != 1290 {
		t.Errorf("dpd to IE is %+v, %v, want price 1290", got, err)
	}
	for _, ask := range [][2]string{{"dpd", "GB"}, {"other", "GB"}, {"dpd", "nowhere"}, {"..", ""}} {
		if got, err := d.Delivery(t.Context(), ask[0], ask[1]); !errors.Is(err, catalog.ErrUnknownProvider) {
			t.Errorf("%s to %s is %+v, %v, want ErrUnknownProvider", ask[0], ask[1], got, err)
		}
	}
}

func TestDeliveriesComeFromAListAtAURL(t *testing.T) {
	var down atomic.Bool
	base, n := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.NotFound(w, r)
			return
		}
		_, _ = io.WriteString(w, `[{"provider":"a","price":1,"tax":0},{"provider":"b","price":2,"tax":0,"countries":["GB"]}]`)
	})
	d, err := catalog.OpenDeliveries(t.Context(), base+"/deliveries.json", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for provider, want := range map[string]int64{"a": 1, "b": 2} {
		if got, err := d.Delivery(t.Context(), provider, "gb"); err != nil || got.Price != want {
			t.Errorf("%s is %+v, %v, want price %d", provider, got, err, want)
		}
	}
	if _, err := d.Delivery(t.Context(), "c", "GB"); !errors.Is(err, catalog.ErrUnknownProvider) {
		t.Errorf("c is %v, want ErrUnknownProvider", err)
	}
	if n.Load() != 1 {
		t.Errorf("%d requests, want 1 for all", n.Load())
	}

	down.Store(true)
	gone, err := catalog.OpenDeliveries(t.Context(), base+"/deliveries.json", catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	if _, err := gone.Delivery(t.Context(), "a", ""); !errors.Is(err, catalog.ErrUnavailable) {
		t.Errorf("a without a list is %v, want ErrUnavailable", err)
	}
}
