package main

import "slices"

// line is a line that a promise rests on.
type line struct {
	promise  string
	file     string // slash-separated, from the module's root
	old, new string // the text, which is in the file exactly once, and what takes its place
	pkg      string // whose test goes red
	run      string // the tests to run: names, separated by |
}

const (
	filelogPkg = "internal/eventlog/filelog"
	journalPkg = "internal/eventlog/filelog/journal"
	vfsPkg     = "internal/eventlog/filelog/vfs"
	actorPkg   = "pkg/actor"
	grainPkg   = "internal/grain"
	apiPkg     = "internal/api"
	cartdPkg   = "cmd/cartd"
)

const (
	crash        = "TestCrashAtAnyCallLosesNothingAcknowledged"
	archiveCrash = "TestCrashAtAnyCallOfArchivingLosesNothing"
)

// lines is the list. Most new texts keep the statement and take away what it decides, so that they compile.
var lines = slices.Concat(eventLogLines, grainLines, serviceLines)
