//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// asServer makes the test binary a server of one kind; see TestMain.
const asServer = "BENCH_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	kind := os.Getenv(asServer)
	if kind == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Fprintln(os.Stderr, "not JSON")
	if kind == "broken" {
		fmt.Fprintln(os.Stderr, "no room")
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, `{"msg":"serving","api":"http://127.0.0.1:1%s%s"}`+"\n", os.Getenv("CARTD_LISTEN")+os.Getenv("GOMAXPROCS"), os.Getenv("GOGC"))
	<-ctx.Done()
	if kind == "fails" {
		fmt.Fprintln(os.Stderr, "disk gone")
		os.Exit(1)
	}
	os.Exit(0)
}

func startAs(t *testing.T, kind string) (*process, error) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return start(t.Context(), kind, []string{asServer + "=" + kind, "GOGC=7"}, nil, exe)
}

func TestServerStartsAndStops(t *testing.T) {
	for _, name := range []string{"CARTD_LISTEN", "GOGC", "GOMAXPROCS"} {
		t.Setenv(name, "3") // of the caller
	}
	p, err := startAs(t, "serves")
	if err != nil {
		t.Fatal(err)
	}
	if p.url != "http://127.0.0.1:17" {
		t.Errorf("url %q, want the one logged, with the GOGC that it is given and nothing of the caller's", p.url)
	}
	if _, err := p.cpu(); err != nil {
		t.Error(err)
	}
	if err := p.stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if d, err := p.cpu(); err == nil {
		t.Errorf("processor time of an ended process is %v, want an error", d)
	}
}

func TestServerThatDoesNotStartOrEndWellSaysWhy(t *testing.T) {
	if _, err := startAs(t, "broken"); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("start: error %v, want what the server wrote", err)
	}
	p, err := startAs(t, "fails")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.stop(); err == nil || !strings.Contains(err.Error(), "disk gone") {
		t.Errorf("stop: error %v, want what the server wrote", err)
	}
}
