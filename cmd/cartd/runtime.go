package main

import (
	"os"
	"runtime"
	"runtime/debug"
)

// tuneRuntime sets what the environment leaves open.
//
// GOGC: carts are small and answers short-lived; with Go's 100 a small heap is collected all the time. GOMAXPROCS: a
// goroutine that comes back from fdatasync waits for a processor; two more than there are let it go on at once.
func tuneRuntime() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	}
}
