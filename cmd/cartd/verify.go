package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/grain"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// verifyCmd is `cartd verify`.
type verifyCmd struct {
	Dir  string `arg:"" placeholder:"DIR" help:"Data directory, or backup."`
	JSON bool   `name:"json" help:"Print the report as JSON."`
}

// errFaults means that verify has looked, and something is wrong.
var errFaults = errors.New("something is wrong; see above")

// Run checks the directory and prints a report.
func (c *verifyCmd) Run(ctx context.Context) error {
	progress, finish := fileProgress(os.Stderr, "verify")
	report, err := filelog.Verify(ctx, c.Dir, filelog.CheckOptions{Progress: progress, State: states})
	finish()
	if err != nil {
		return exitError{2, err}
	}
	if err := printReport(os.Stdout, report, c.Dir, c.JSON); err != nil {
		return exitError{2, err}
	}
	if len(report.Faults) > 0 {
		return errFaults
	}
	return nil
}

// states makes the carts and vouchers that snapshots are compared with.
func states(id eventlog.StreamID) filelog.Replayer {
	switch id.Kind() {
	case eventlog.KindCart:
		return grain.NewReplay(id.Name())
	case eventlog.KindVoucher:
		return grain.NewVoucherReplay(id.Name())
	}
	return nil
}

// printReport writes what was found.
func printReport(w io.Writer, r *filelog.Report, dir string, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	out := bufio.NewWriter(w)
	for _, f := range r.Notes {
		fmt.Fprintf(out, "note   %s\n", findingText(f))
	}
	for _, f := range r.Faults {
		fmt.Fprintf(out, "FAULT  %s\n       %s\n", findingText(f), remedy(r, f.Kind, dir))
	}
	fmt.Fprintf(out, "%d carts, %d events, %d sealed parts, %d archives, %d snapshots, %d bytes read in %.1f s: ", r.Carts, r.Events, r.Sealed, r.Archived, r.Snapshots, r.Bytes, r.Seconds)
	if len(r.Faults) == 0 {
		fmt.Fprintln(out, "all is well")
	} else {
		fmt.Fprintf(out, "%d faults\n", len(r.Faults))
	}
	return out.Flush()
}

func findingText(f filelog.Finding) string {
	if f.Line > 0 {
		return fmt.Sprintf("%s:%d (byte %d): %s: %s", f.File, f.Line, f.Offset, f.Kind, f.Detail)
	}
	return fmt.Sprintf("%s (byte %d): %s: %s", f.File, f.Offset, f.Kind, f.Detail)
}

// remedy says what helps.
func remedy(r *filelog.Report, kind filelog.Kind, dir string) string {
	switch {
	case kind == filelog.NewerLine:
		return "use the newer program that has written it"
	case kind == filelog.Unfinished:
		return "nothing here is of use"
	case r.Backup:
		return "do not rely on this backup: make another, or use an older one"
	}
	switch kind {
	case filelog.Torn:
		return "nothing that was acknowledged: the next use cuts it off and keeps a copy under quarantine/, as cartd repair does"
	}
	return fmt.Sprintf("stop the server, then: cartd repair %s --yes", dir)
}

// fileProgress draws a bar on w if that is a terminal. finish takes it away.
func fileProgress(w *os.File, what string) (step func(done, total int), finish func()) {
	if !term.IsTerminal(int(w.Fd())) {
		return nil, func() {}
	}
	bar := progressbar.NewOptions(-1, // until the total is known, if ever
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(what),
		progressbar.OptionSetItsString("files"),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
	// A terminal that cannot be written to is no reason to stop.
	return func(done, total int) {
		if total >= 0 {
			bar.ChangeMax(total)
		}
		_ = bar.Set(done)
	}, func() { _ = bar.Finish() }
}
