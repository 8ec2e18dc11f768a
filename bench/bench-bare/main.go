// Command bench-bare is what cartd is measured against: a net/http server that does the least an add over HTTP can do.
// It decodes the same body with encoding/json and writes the same answer, header and body, whatever is asked. It keeps
// nothing and has no time-outs, router, metrics or log.
//
// The answer is read as an HTTP message from standard input, until its end. The address goes to standard error, as
// cartd writes it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, os.Stdin); err != nil {
		fmt.Fprintf(os.Stderr, "bench-bare: %v\n", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, listen string, answer io.Reader) error {
	h, err := readAnswer(answer)
	if err != nil {
		return fmt.Errorf("read the answer to give: %w", err)
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	slog.New(slog.NewJSONHandler(os.Stderr, nil)).Info("serving", "api", "http://"+l.Addr().String())
	srv := &http.Server{Handler: h}
	defer context.AfterFunc(ctx, func() { srv.Close() })()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// answer is what every request gets.
type answer struct {
	status int
	header []field
	body   []byte
}

// field is an entry of a header, so that nothing iterates over a map for each request.
type field struct {
	name   string // canonical
	values []string
}

func readAnswer(r io.Reader) (*answer, error) {
	resp, err := http.ReadResponse(bufio.NewReader(r), nil)
	if err != nil {
		return nil, err
	}
	a := &answer{status: resp.StatusCode}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return nil, err
	}
	for name, values := range resp.Header {
		if name != "Date" { // net/http sets its own, in both servers
			a.header = append(a.header, field{name, values})
		}
	}
	return a, nil
}

// add is the part of a request that cartd reads, too.
type add struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

func (a *answer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var req add
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.SKU == "" || req.Quantity <= 0 {
		http.Error(w, "not an add", http.StatusBadRequest)
		return
	}
	h := w.Header()
	for _, f := range a.header {
		h[f.name] = f.values
	}
	w.WriteHeader(a.status)
	w.Write(a.body) //nolint:errcheck // the client has gone
}
