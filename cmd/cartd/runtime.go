package main

import (
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// tuneRuntime sets what the environment leaves open.
//
// GOGC: carts are small and answers short-lived; with Go's 100 a small heap is collected all the time. GOMEMLIMIT: many
// carts make a large heap, and 400 per cent of that may not be there; at seven tenths of what the machine or its
// container has, memory is worth more than time. GOMAXPROCS: a goroutine that comes back from fdatasync waits for a
// processor; one more than there are lets it go on at once. A second one more costs more than it brings.
func tuneRuntime(logger *slog.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	// It leaves a GOMEMLIMIT of the environment alone.
	if _, err := memlimit.Set(
		memlimit.WithRatio(0.7),
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)),
	); err != nil {
		logger.Warn("no memory limit is set", "err", err)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
}
