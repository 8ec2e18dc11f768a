package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"

	"cartd/internal/load"
)

// loadCmd is `cartd load`.
type loadCmd struct {
	CSV          string `name:"csv" required:"" type:"existingfile" placeholder:"FILE[.gz]" help:"Invoice lines with the columns of the Online Retail data set."`
	URL          string `name:"url" required:"" help:"Where cartd answers, such as http://127.0.0.1:8080."`
	Concurrency  int    `default:"8" help:"Requests at a time."`
	JSON         bool   `name:"json" help:"Print the report as JSON."`
	BackendToken string `required:"" help:"The server's backend token; the first of several separated by commas."`
}

// Run loads the file, compares every cart with it and prints a report. It fails if any cart differs, and can be started
// again when it was stopped: nothing is added twice.
func (c *loadCmd) Run(ctx context.Context) error {
	var token string // without one Run says what is missing
	if tokens := backendTokens(c.BackendToken); len(tokens) > 0 {
		token = tokens[0]
	}
	report, err := load.Run(ctx, load.Options{
		CSV: c.CSV, URL: c.URL, Token: token, Concurrency: c.Concurrency,
		Progress: os.Stderr, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	// The report is printed also after an error: it says how far the load came.
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return errors.Join(err, enc.Encode(report))
	}
	return errors.Join(err, report.WriteText(os.Stdout))
}
