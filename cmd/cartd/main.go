// Command cartd is a shopping-cart service: carts as event-sourced grains over REST.
//
//	cartd serve   serve carts (also when no command is given)
//	cartd load    replay an Online Retail CSV file through the REST API
//	cartd verify  check everything that is stored, also while a server runs
//	cartd repair  make a damaged data directory one that opens, keeping what is replaced
//	cartd backup  copy everything that is stored, also while a server runs
//	cartd restore make a data directory of a backup
//	cartd import  take over the logs of the service before cartd
//	cartd compact compress the older part of the carts' logs
//	cartd export  print the stored events as JSON lines
//	cartd tail    follow the events of all carts, or one
//	cartd history tell what has become of a cart
//	cartd version print the version
//
// Every flag can be set by an environment variable CARTD_… of the same name.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Serve   serveCmd   `cmd:"" default:"withargs" help:"Serve carts. The default command."`
	Load    loadCmd    `cmd:"" help:"Replay an Online Retail CSV file through the REST API, a cart for each invoice."`
	Verify  verifyCmd  `cmd:"" help:"Check everything that is stored. Changes nothing; a server may be running. Exit code 0: all is well, 1: something is wrong, 2: it could not look."`
	Repair  repairCmd  `cmd:"" help:"Make a damaged data directory one that opens. What is replaced is kept under quarantine/. Exit code 0: all is well now, 1: it is not, or --yes is missing, 2: it could not look."`
	Backup  backupCmd  `cmd:"" help:"Make a backup, of a directory that no server uses (--data) or of a running server (--url). Exit code 0: done, 1: done, but something in the shop was damaged before, 2: there is no backup."`
	Restore restoreCmd `cmd:"" help:"Make a data directory of a backup. Exit code 0: done, 1: the backup is not sound, 2: it could not be done."`
	Import  importCmd  `cmd:"" help:"Take over the carts of the service before cartd. No server may be running. Exit code 0: all carts are there, 1: something could not be taken over, 2: it could not be done."`
	Compact compactCmd `cmd:"" help:"Compress the older part of the carts' logs, which stay the same, and remove files that a crash has left. No server may be running. Exit code 0: done, 1: something is wrong, 2: it could not begin."`
	Export  exportCmd  `cmd:"" help:"Print the stored events of all carts, or one, as JSON lines. A server may be running."`
	Tail    tailCmd    `cmd:"" help:"Follow the events of all carts, or one, of a running server. Comes back when the server does."`
	History historyCmd `cmd:"" help:"Tell what has become of a cart: what each step changed, in words and totals."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

func main() {
	var c cli
	parser, err := kong.New(&c,
		kong.Name("cartd"),
		kong.Description("A shopping-cart service: a click that was answered with 2xx is never lost, never doubled, never reordered."),
		kong.DefaultEnvars("CARTD"),
	)
	if err != nil {
		panic(err)
	}
	ctx, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)

	signals, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals.Done()
		stop() // from now on a second signal ends the process at once
	}()
	ctx.BindTo(signals, (*context.Context)(nil))
	if err := ctx.Run(); err != nil {
		code := 1
		if e, ok := errors.AsType[exitError](err); ok {
			code = e.code
		}
		fmt.Fprintf(os.Stderr, "cartd: %v\n", err)
		os.Exit(code)
	}
}

// exitError ends the process with a code of its own.
type exitError struct {
	code int
	error
}

func (e exitError) Unwrap() error { return e.error }

// version is set by the linker in releases.
var version string

type versionCmd struct{}

func (versionCmd) Run() error {
	fmt.Println("cartd", versionString())
	return nil
}

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
