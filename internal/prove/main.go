// Prove takes each line that cartd's promises rest on out of the program, one at a time, and sees a test go red.
//
//	go run ./internal/prove [-run regexp]
//
// It works on a copy of the tree; the tree itself is never changed. First the tests it relies on have to be green as
// the tree is. Then, for each line of the list in lines_*.go: the line is replaced in the copy, what comes out has to
// compile, one of the tests named has to fail, and the line is put back. It prints a table and exits with 1 if a line
// could be taken out unnoticed, if its replacement does not compile, or if the tests hang instead of failing.
//
// It belongs to no program that is shipped. `make prove` runs it; a test of this package sees to it that every line of
// the list is still there.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

func main() {
	only := flag.String("run", "", "take out only the lines whose promise matches this regexp")
	patience := flag.Duration("patience", 2*time.Minute, "how long the tests of one line may take")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	unproved, err := prove(ctx, *only, *patience)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "prove:", err)
		os.Exit(2)
	case unproved > 0:
		fmt.Printf("\n%d lines can be taken out, and no test says so\n", unproved)
		os.Exit(1)
	}
}

// prove returns how many lines no test stands behind.
func prove(ctx context.Context, only string, patience time.Duration) (unproved int, err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return 0, err
	}
	root, err := moduleRoot()
	if err != nil {
		return 0, err
	}
	chosen := make([]line, 0, len(lines))
	for _, l := range lines {
		if _, err := l.takeOut(root); err != nil {
			return 0, err
		}
		if wanted.MatchString(l.promise) {
			chosen = append(chosen, l)
		}
	}
	if len(chosen) == 0 {
		return 0, fmt.Errorf("no promise matches %q", only)
	}
	w, err := copyTree(root)
	if err != nil {
		return 0, err
	}
	defer w.remove()
	w.patience = patience
	fmt.Printf("the tests of %d lines as the tree is …\n", len(chosen))
	if err := w.green(ctx, chosen); err != nil {
		return 0, err
	}
	fmt.Printf("\n%-70s  %-30s  %7s  %s\n", "what it promises", "line", "time", "what goes red without it")
	for _, l := range chosen {
		start := time.Now()
		got, err := w.without(ctx, l)
		if err != nil {
			return unproved, err
		}
		if !got.red {
			unproved++
		}
		fmt.Printf("%-70s  %-30s  %5.1f s  %s\n", l.promise, l.where(root), time.Since(start).Seconds(), got.what)
	}
	return unproved, nil
}
