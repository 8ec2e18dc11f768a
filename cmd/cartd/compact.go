package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"cartd/internal/eventlog/filelog"
)

// compactCmd is `cartd compact`.
type compactCmd struct {
	Dir      string    `arg:"" placeholder:"DIR" help:"Data directory. No server may be running there."`
	MinBytes bytesFlag `default:"64KiB" help:"Leave a cart's file alone that is not larger, or less than a sixteenth of what is compressed of it already. 0: compress all that can be."`
	JSON     bool      `name:"json" help:"Print what was done as JSON."`
}

// Run compresses the carts' logs and tells what it has done. It can be ended at any point and run again.
func (c *compactCmd) Run(ctx context.Context) error {
	progress, finish := fileProgress(os.Stderr, "compact")
	done, err := filelog.Compact(ctx, c.Dir, filelog.CompactOptions{MinBytes: int64(c.MinBytes), Progress: progress})
	finish()
	if done == nil {
		return exitError{2, err}
	}
	if err := errors.Join(err, c.print(os.Stdout, done)); err != nil {
		return err
	}
	if len(done.Faults) > 0 {
		return errFaults
	}
	return nil
}

func (c *compactCmd) print(w io.Writer, done *filelog.Compacted) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(done)
	}
	for _, f := range done.Faults {
		if _, err := fmt.Fprintf(w, "FAULT  %s\n       its cart was left as it is; stop the server, then: cartd repair %s --yes\n", findingText(f), c.Dir); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d carts were compressed, %d files removed, %d bytes are %d now, in %.1f s\n",
		done.Sealed, done.Carts, done.Removed, done.Before, done.After, done.Seconds)
	return err
}
