package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"

	"cartd/internal/catalog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/grain"
	"cartd/internal/importer"
)

// importCmd is `cartd import`.
type importCmd struct {
	From    string `required:"" placeholder:"OLDDIR" help:"Directory with <id>.events.log files of the former service, flat or in carts/ab/."`
	Data    string `default:"./data" help:"Data directory to import into; made if need be."`
	Catalog string `default:"demo" help:"Products for requests that were never resolved: a JSON file, an http(s) URL with {sku} and {country}, or demo."`
	JSON    bool   `name:"json" help:"Print the report as JSON."`
}

var errNotAll = errors.New("not everything could be taken over; see above")

// Run imports what is not there yet, and reports what cannot be imported. It can be ended at any point and run again.
func (c *importCmd) Run(ctx context.Context) error {
	report, err := c.run(ctx)
	if report != nil {
		if printErr := c.print(os.Stdout, report); printErr != nil {
			err = errors.Join(err, printErr)
		}
	}
	if err != nil {
		return exitError{2, err}
	}
	if report.Reported > 0 {
		return errNotAll
	}
	return nil
}

func (c *importCmd) run(ctx context.Context) (_ *importer.Report, err error) {
	if below(c.Data, c.From) || below(c.From, c.Data) {
		return nil, fmt.Errorf("--from and --data: one of %s and %s is in the other", c.From, c.Data)
	}
	if _, err := os.Stat(c.From); err != nil { // before a data directory is made
		return nil, err
	}
	products, err := catalog.Open(ctx, c.Catalog, catalog.Options{})
	if err != nil {
		return nil, fmt.Errorf("open the catalogue: %w", err)
	}
	defer products.Close() // always nil
	store, err := filelog.Open(c.Data, filelog.Options{
		FeedRetention: math.MaxInt64, // how long the feed goes back is for servers to say
		Logger:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return nil, fmt.Errorf("open the event log in %s: %w", c.Data, err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	step, finish := fileProgress(os.Stderr, "import")
	defer finish()
	var progress func(int)
	if step != nil {
		progress = func(carts int) { step(carts, -1) }
	}
	return importer.Run(ctx, importer.Options{
		Dir: c.From, Store: store, Catalog: products, Progress: progress,
		Registry: grain.Registry(grain.Limits{MaxLines: math.MaxInt, MaxQuantity: math.MaxInt64}), // as at replay
	})
}

func (c *importCmd) print(w io.Writer, r *importer.Report) error {
	if c.JSON {
		return printJSON(w, r)
	}
	out := bufio.NewWriter(w)
	for _, p := range r.Problems {
		at := p.File
		if p.Line > 0 {
			at = fmt.Sprintf("%s:%d", p.File, p.Line)
		}
		fmt.Fprintf(out, "%s: %s: %s\n", at, p.Kind, p.Detail)
	}
	if r.Reported > len(r.Problems) {
		fmt.Fprintf(out, "… and %d more\n", r.Reported-len(r.Problems))
	}
	fmt.Fprintf(out, "%d carts imported, %d events, in %.1f s", r.Carts, r.Events, r.Seconds)
	if r.Already > 0 {
		fmt.Fprintf(out, "; %d carts had been imported before: nothing was changed there", r.Already)
	}
	fmt.Fprintln(out)
	return out.Flush()
}
