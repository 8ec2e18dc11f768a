package check

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"cartd/k8s/monitoring/check/shoppers"
)

// busyFlags make things happen within seconds that take minutes or weeks in a shop.
var busyFlags = []string{"--sweep-every=1s", "--idle=1s", "--request-timeout=30s"}

// startBusy starts a cartd with backends of its own, a webhook, and shoppers. It goes on until the test ends, and is an error
// of the test if anything was answered that is not as it should be.
func startBusy(t *testing.T) *Server {
	t.Helper()
	backend := httptest.NewServer(http.HandlerFunc(shopBackend))
	var calls atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1)%50 == 1 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	s := Start(t, Options{Flags: append([]string{
		"--catalog=" + backend.URL + "/products/{sku}", "--deliveries=" + backend.URL + "/deliveries/{provider}", "--vouchers=" + backend.URL + "/vouchers/{code}",
	}, busyFlags...)})
	load := &shoppers.Load{URL: s.API, Token: Token, PerSecond: 200}
	if err := load.Subscribe(t.Context(), "monitor", receiver.URL); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		sent, err := load.Run(ctx)
		if err == nil && sent == 0 {
			err = fmt.Errorf("nothing was sent")
		}
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("shoppers: %v", err)
		}
		s.Stop()
		receiver.Close()
		backend.Close()
	})
	return s
}

// shopBackend sells everything but what begins with "no" or "NO".
func shopBackend(w http.ResponseWriter, r *http.Request) {
	kind, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if strings.HasPrefix(strings.ToLower(id), "no") {
		http.NotFound(w, r)
		return
	}
	switch kind {
	case "products":
		fmt.Fprintf(w, `{"sku":%q,"name":"Thing","price":255,"tax":2000,"currency":"GBP"}`, id)
	case "deliveries":
		fmt.Fprintf(w, `{"provider":%q,"name":"Van","price":490,"tax":2500}`, id)
	case "vouchers":
		limit := ""
		if id == "FIRST3" {
			limit = `,"usageLimit":3`
		}
		fmt.Fprintf(w, `{"code":%q,"kind":"percent","value":1000%s}`, id, limit)
	}
}
