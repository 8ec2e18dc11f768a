package actor

import (
	"encoding/json"
	"log/slog"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
)

// Config tells what the grains of one kind are made of. Kind, Registry, Log and View are required.
type Config[S any] struct {
	// Kind names the aggregate, for logs.
	Kind string
	// Registry knows the mutations.
	Registry *MutationRegistry[S]
	// Replay is what events are applied with when the log is replayed. It must take everything that Registry has ever
	// taken: limits that an operator may lower belong into Registry alone. Default: Registry.
	Replay *MutationRegistry[S]
	// Requests are types that an older log may hold though they were never mutations: they are skipped as unknown, and
	// the state does not count as damaged.
	Requests []string
	// Log keeps the events.
	Log Log
	// View appends what callers get to see of the state to dst. It must not keep or change s.
	View func(dst []byte, s *S, info Info) []byte
	// Hidden says why s must not be shown now, nil if it may: queries are then answered with this refusal and no View.
	// Default: every state may be seen.
	Hidden func(s *S, info Info, now time.Time) *Refusal
	// Branch says why a branch other than main cannot be seen, nil if it can. Default: there are none. Whether it can be
	// changed is its handlers' to say.
	Branch func(s *S, branch string) *Refusal
	// Admit says why caller must not see or change s, nil if it may. It is asked of every command and query that has a
	// Caller before anything else is: the reply has this refusal and no version. Default: everybody may.
	Admit func(s *S, caller string) *Refusal
	// Clone returns a copy that shares nothing with s that may change. It is used for commands of several steps
	// that are refused together. Default: such commands are refused with CodeInternal.
	Clone func(s *S) *S
	// Snapshots, if not nil, lets an activation begin with a snapshot of the state instead of the first event.
	Snapshots *Codec[S]
	// Due returns a mutation of main that time alone has made due by now, before a command for main whose first mutation is m; nil if
	// there is none. It is applied first and stored in the same commit, or not at all if the command has no effect.
	// It must not change s. Config needs Clone for it. Default: nothing ever is.
	Due func(s *S, info Info, m Mutation, now time.Time) Mutation
	// Errands returns what s wants other grains to do, nil for nothing; it is asked before each Send. It must not change
	// s, and what it returns shares nothing with s that may change. Config needs Send for it. Default: nothing.
	Errands func(id string, s *S) []Errand
	// Send is handed the errands of the grain id when the state that has them is on stable storage: after a commit,
	// when an activation has replayed its log, and when it is asked for something that changes nothing. Until a later
	// event ends it, the same errand is handed over again and again. Send is called from many goroutines and must not block.
	Send func(id string, errands []Errand)
	// Encode appends a mutation as a JSON object to dst. Default: encoding/json.
	Encode func(dst []byte, m Mutation) ([]byte, error)
	// Idle is how long an activation stays in memory without messages. Up to an eighth is taken off at random, so that
	// what was activated together is not passivated together. Default: 10 minutes.
	Idle time.Duration
	// MaxQueued bounds the messages that wait for one activation, and MaxInFlight the commits of one activation that
	// wait for the disk; what comes on top is refused with CodeUnavailable. So are commands while the views in the
	// answers of one activation that wait have over 64 MiB. Default: 1,024 each.
	MaxQueued, MaxInFlight int
	// MaxEvents bounds a grain: at so many events commands are refused with CodeFull, and repeats of keys, queries and
	// commands that settle something alone are answered. Each event that had a key takes 24 bytes of an activation's memory for ever. Default: 1,000,000.
	MaxEvents int
	// Now tells the time that new events get. Default: when their command was taken up.
	Now func() time.Time
	// Changed, if not nil, is called with the state that a command for main has made, before its commit is decided. What it
	// returns is called when the commit is on stable storage, before anybody hears of it, and not at all if the commit
	// fails. Neither may block, or keep or change s. nil: nothing is to be called.
	Changed func(id string, s *S, info Info) (committed func())
	// Observer hears what happens inside. Default: nobody.
	Observer Observer
	// Stopped, if not nil, is told when an activation has ended and takes no more messages.
	Stopped func(id string, self *protoactor.PID)
	// Logger gets what nobody else hears of. Default: nothing is logged.
	Logger *slog.Logger
}

// Observer hears what happens inside activations. Its methods are called from many goroutines and must not block.
type Observer interface {
	// Activated is told of each activation before it replays its log, and Passivated of its end, with the version it was
	// at: 0 is a grain without events.
	Activated(kind, id string)
	Passivated(kind, id string, version uint64)
	// Replayed is told of each replay: how long it took, how many events it read, those before a snapshot not among
	// them, and its error if it failed.
	Replayed(kind, id string, took time.Duration, events int, err error)
	// EventSkipped is told of each event that a replay could not apply; err is ErrUnknownMutation or says what failed.
	EventSkipped(kind, id string, ev Event, err error)
	// Panicked is told when a handler, View or Encode panicked.
	Panicked(kind, id string, value any)
	// CommitFailed is told of each commit that the log did not take.
	CommitFailed(kind, id string, err error)
}

func (c Config[S]) withDefaults() Config[S] {
	if c.Kind == "" || c.Registry == nil || c.Log == nil || c.View == nil {
		panic("actor: Config needs Kind, Registry, Log and View")
	}
	if c.Replay == nil {
		c.Replay = c.Registry
	}
	if c.Due != nil && c.Clone == nil {
		panic("actor: Config.Due needs Config.Clone")
	}
	if c.Errands != nil && c.Send == nil {
		panic("actor: Config.Errands needs Config.Send")
	}
	if c.Hidden == nil {
		c.Hidden = func(*S, Info, time.Time) *Refusal { return nil }
	}
	if c.Admit == nil {
		c.Admit = func(*S, string) *Refusal { return nil }
	}
	if c.Branch == nil {
		c.Branch = func(*S, string) *Refusal { return Refuse(CodeBranchNotFound, "there is no such branch") }
	}
	if c.Encode == nil {
		c.Encode = encodeJSON
	}
	if c.Idle <= 0 {
		c.Idle = 10 * time.Minute
	}
	if c.MaxQueued <= 0 {
		c.MaxQueued = 1024
	}
	if c.MaxInFlight <= 0 {
		c.MaxInFlight = 1024
	}
	if c.MaxEvents <= 0 {
		c.MaxEvents = 1_000_000
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func encodeJSON(dst []byte, m Mutation) ([]byte, error) {
	b, err := json.Marshal(m)
	return append(dst, b...), err
}

type nobody struct{}

func (nobody) Activated(_, _ string)                                 {}
func (nobody) Passivated(_, _ string, _ uint64)                      {}
func (nobody) Replayed(_, _ string, _ time.Duration, _ int, _ error) {}
func (nobody) EventSkipped(_, _ string, _ Event, _ error)            {}
func (nobody) Panicked(_, _ string, _ any)                           {}
func (nobody) CommitFailed(_, _ string, _ error)                     {}
