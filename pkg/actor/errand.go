package actor

// Errand is something that the state of one grain wants another grain to do. No grain waits for another: the event that
// makes the wish is stored first; then whoever carries errands ([Config.Send]) sends Command to the other grain, as
// often as it takes to hear what was decided, and Report's command to the grain itself, whose event ends the wish.
//
// All of it happens at least once: after a crash the next activation has the same errand and it begins anew. That each
// command has its effect once is the business of the commands: the second time they find nothing to change.
type Errand struct {
	// Name tells the errand from all others that its grain ever has. It is the same each time that it is handed over.
	Name string
	// Kind and To are the grain that is asked.
	Kind, To string
	// Command is what it is asked. The deadline is set by who sends it.
	Command Command
	// Report makes the command that tells the errand's own grain what the other one has decided. It is called from any
	// goroutine. nil: there is nothing to tell.
	Report func(decided *Reply) Command
}
