// Package cluster finds the activation of a grain and asks it, once.
//
// [Single] is the membership of one machine: all grains live in this process and no port is opened. Every id has at
// most one activation that takes messages; it is made when the first message for it comes.
//
// Requests are sent at most once. [Single.Ask] repeats only what was certainly not handled (the activation had
// ended before it took the message), and says [ErrOutcomeUnknown] when no answer came in time.
package cluster
