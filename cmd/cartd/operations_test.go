//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/internal/oplog"
)

// operations returns what GET /v1/operations says.
func (s *server) operations(t *testing.T, query string) oplog.Page {
	t.Helper()
	var page oplog.Page
	a := s.do(t, http.StatusOK, "GET", "/v1/operations"+query, "")
	if err := json.Unmarshal(a.body, &page); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return page
}

func TestOperationsOutliveRestartsAndKills(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	end := func() {
		s.signal(syscall.SIGTERM)
		s.wantExit(0)
	}
	s.create(t, "c")
	s.add(t, "c", "A")
	end()

	s = serve(t, data)
	s.add(t, "c", "B") // replays
	s.do(t, http.StatusOK, "GET", "/v1/carts/c", "", "Cartd-Source", "scenario")
	page := s.operations(t, "?limit=1000")
	var story []string
	for i, o := range page.Operations {
		if i > 0 && o.Seq != page.Operations[i-1].Seq+1 {
			t.Errorf("%d comes after %d", o.Seq, page.Operations[i-1].Seq)
		}
		if o.Source != sourceInternal || o.Kind != "passivation" { // which may come late
			story = append(story, fmt.Sprint(o.Source, " ", o.Kind, " ", o.Cart, " ", o.OK))
		}
	}
	want := "backend createCart  true, backend applyMutations c true, internal replay c true, backend applyMutations c true, scenario getCart c true"
	if got := strings.Join(story, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	last := page.Operations[len(page.Operations)-1].Seq

	s.kill()
	name := filepath.Join(data, oplogName, "00000000000000000001.jsonl")
	if f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0); err != nil {
		t.Error(err)
	} else if _, err := f.WriteString("{\"seq\":99,\nnonsense"); err != nil || f.Close() != nil {
		t.Error(err)
	}
	s = serve(t, data)
	s.add(t, "c", "C")
	page = s.operations(t, "?source=backend")
	if got := page.Operations[len(page.Operations)-1]; got.Kind != "applyMutations" || got.Seq == 0 || got.Seq > last+3 {
		t.Errorf("after a kill: %+v, behind %d", got, last)
	}
	end()
	mustCartd(t, nil, "verify", data)

	s = serve(t, data, "--operations=none", "--operations-all")
	s.do(t, http.StatusNotFound, "GET", "/v1/carts/nobody", "")
	all, asked := s.operations(t, "").Operations, s.operations(t, "?source=backend").Operations // what the grain does by itself may come before and after
	if len(asked) != 1 || asked[0].Kind != "getCart" || asked[0].Error == "" || asked[0].OK || all[0].Seq != 1 {
		t.Errorf("in memory alone: %+v", all)
	}
}

func TestWhatGrainsDoByThemselvesIsAnOperation(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--operations-all", "--idle=50ms", "--sweep-every=1s")
	s.create(t, "c")
	for _, kind := range []string{"activation", "passivation", "replay", "sweep"} {
		if kind == "replay" {
			s.cart(t, "c") // it has left memory
		}
		eventually(t, "an operation of kind "+kind, func() bool { // asks for operations alone: a cart that is asked does not leave
			page := s.operations(t, "?source=internal&kind="+kind)
			for _, o := range page.Operations {
				if !o.OK || o.Cart != "c" && kind != "sweep" {
					t.Errorf("%s: %+v", kind, o)
				}
			}
			return len(page.Operations) > 0
		})
	}
}

func TestAppendThatFailsIsAnOperation(t *testing.T) {
	log, err := oplog.Open(t.Context(), oplog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	o := observer{grain.NewObserver(reg, eventlog.NewMetrics(reg), slog.New(slog.DiscardHandler)), log}
	o.CommitFailed(string(eventlog.KindVoucher), "v", errors.New("it is no cart"))
	o.CommitFailed(string(eventlog.KindCart), "c", errors.New("the disk is gone"))
	page, err := log.Query(t.Context(), oplog.Query{Limit: 10})
	if err != nil || len(page.Operations) != 1 {
		t.Fatalf("got %+v, %v", page.Operations, err)
	}
	if got := page.Operations[0]; got.Kind != "append" || got.Source != sourceInternal || got.Cart != "c" || got.OK || got.Error != "the disk is gone" {
		t.Errorf("got %+v", got)
	}
}
