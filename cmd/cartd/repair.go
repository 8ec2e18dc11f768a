package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"cartd/internal/eventlog/filelog"
)

// repairCmd is `cartd repair`.
type repairCmd struct {
	Dir string `arg:"" placeholder:"DIR" help:"Data directory. No server may be running there."`
	Yes bool   `help:"Do it. Without this only what is wrong is shown."`
}

// Run repairs the directory and tells what it has done. It can be ended at any point and run again.
func (c *repairCmd) Run(ctx context.Context) error {
	progress, finish := fileProgress(os.Stderr, "repair")
	opts := filelog.CheckOptions{Progress: progress, State: states}
	if !c.Yes {
		report, err := filelog.Verify(ctx, c.Dir, opts)
		finish()
		if err != nil {
			return exitError{2, err}
		}
		if err := printReport(os.Stdout, report, c.Dir, false); err != nil || len(report.Faults) == 0 {
			return err
		}
		return errors.New("nothing was changed; repair would restore from the journal what it has, mark the rest as damaged, " +
			"and keep all it replaces under quarantine/: with --yes it does")
	}
	done, err := filelog.Repair(ctx, c.Dir, opts)
	finish()
	if done == nil {
		return exitError{2, err}
	}
	for _, f := range done.Found {
		fmt.Printf("FAULT  %s\n", findingText(f))
	}
	for _, what := range done.Done {
		fmt.Printf("done   %s\n", what)
	}
	for _, what := range done.Lost {
		fmt.Printf("LOST   %s\n", what)
	}
	if done.Kept != "" {
		fmt.Printf("what was replaced is in %s\n", done.Kept)
	}
	if err == nil {
		fmt.Println("all is well")
	}
	return err
}
