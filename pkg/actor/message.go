package actor

import "time"

// Command asks a grain to apply mutations as one commit.
type Command struct {
	// Steps are applied in order. The command takes effect if every step that is not optional is accepted and, when
	// it has optional ones, at least one of those is. Otherwise nothing happens.
	Steps []Step
	// Key makes the command repeatable: one that was applied under the same key before is not applied again, for as
	// long as the grain's log lives. "" for none.
	Key string
	// Request tells commands apart that come with the same key; a hash of all that the caller asked.
	Request uint64
	// Branch is the line of versions that gets the events; "" is main. It is the registry's to say which branches there are.
	Branch string
	// IfVersion, if not nil, is the version that IfBranch must be at, counting what is queued.
	IfVersion *uint64
	IfBranch  string // "" is main
	// MustExist refuses the command when main has no events.
	MustExist bool
	// Create, if not nil, is applied before the steps when the grain has no events, in the same commit: if the command
	// has no effect, nothing is stored. It has no outcome. A command whose steps are accepted and change nothing still
	// creates.
	Create Mutation
	// Minimal leaves out the reply's View.
	Minimal bool
	// Settles lets the command pass Config.MaxEvents: it ends what an earlier one has begun.
	Settles bool
	// Leave lets the activation end with this command, unless something else was asked of it before: who goes through many
	// grains that nobody uses does not fill the memory with them.
	Leave bool
	// Deadline is when the caller stops waiting: a command taken up later is not applied. Zero for none.
	Deadline time.Time
	// Caller is who asks, for Config.Admit to judge; "" is somebody without a name. nil: whoever asks is let in.
	Caller *string
	// Appending, if not nil, is called when the command's events are queued for the log. What it returns is called when
	// they are decided, with the error if they are not certain to be on stable storage, before anybody hears of it.
	// Neither may block.
	Appending func() (decided func(error))
}

// Step is one mutation of a command.
type Step struct {
	Mutation Mutation
	// Optional steps may be refused without the others.
	Optional bool
}

// Query asks a grain for its state.
type Query struct {
	// Branch is what is asked for; "" is main.
	Branch string
	// Key, if not "", asks whether a command with this key has been applied: the reply says so in Replayed.
	Key string
	// Minimal leaves out the reply's View.
	Minimal bool
	// Caller is as in Command.
	Caller *string
	// Leave is as in Command.
	Leave bool
}

// Reply answers a Command or a Query. All it tells is on stable storage.
type Reply struct {
	// Refusal says why the command had no effect, or why the state is not shown.
	Refusal *Refusal
	// Version of the branch that the reply tells of, the command's or the query's, or IfBranch with CodeVersionConflict; 0
	// if it has no events.
	Version uint64
	// View is the state as Config.View writes it. Not set in minimal replies, and with most refusals.
	View []byte
	// Outcomes has one entry for each step that was tried, in order.
	Outcomes []Outcome
	// Replayed is true when the command's key had been applied before, and nothing was applied now.
	Replayed bool

	buffer *[]byte // what View is to be kept in by Release; nil if others may have View, too
}

// Outcome tells what became of a step.
type Outcome struct {
	Type    string
	Payload []byte   // the mutation as JSON
	Refusal *Refusal // nil if the step was accepted
}

// Codes of the refusals that come from the grain itself and not from a handler.
const (
	CodeNotFound        = "not_found"
	CodeBranchNotFound  = "branch_not_found"
	CodeVersionConflict = "version_conflict"       // IfVersion is not the present version; the reply has the View
	CodeKeyReused       = "idempotency_key_reused" // Key came with another Request before
	CodeUnavailable     = "unavailable"            // nothing was applied; worth another try later
	CodeOutcomeUnknown  = "outcome_unknown"        // it may or may not have been applied
	CodeFull            = "full"                   // the grain has as many events as it may have
	CodeInternal        = "internal"               // a bug; nothing was applied
	CodeNotApplied      = "not_applied"            // of a step: accepted, but another step was refused
	CodeUnknownMutation = "unknown_mutation"       // of a step: no handler is registered
)
