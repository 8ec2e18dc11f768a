// Package actor builds event-sourced grains on proto.actor.
//
// A grain is an identity that can always be spoken to. Its state S lives in memory while it is activated, and is
// what the events in its log make of the empty state. A [Command] asks it to apply mutations; those that its
// [MutationRegistry] accepts are appended to the log, and only when they are on stable storage is the command
// answered. A grain that nobody speaks to is passivated: the log has everything.
//
// The commit is pipelined. The grain applies a command to its state, queues the events and takes the next message;
// the log answers all that wait when it has synced. So the state runs ahead of the disk for a moment, and every
// answer that was made from such a state waits for the same commit: nothing is shown that a crash could take back.
// If a commit fails, all that wait for it hear so, the activation is thrown away, and the next message finds a
// new one that replays the log.
//
//	registry := actor.NewMutationRegistry[Wishlist]()
//	actor.Register(registry, "Wish", func(w *Wishlist, m *Wish, _ actor.Meta) error { … })
//	props := actor.Props(system, actor.Config[Wishlist]{Kind: "wishlist", Registry: registry, Log: log, …})
//
// A grain may have lines of versions beside main, its branches: a [Command] and a [Query] say which one they are about, and
// handlers are told in [Meta]. S holds the state of all of them; what a branch is, and which there are, is its business. What
// the log made of S at an earlier moment is to be had without an activation: [RebuildAt].
//
// An activation handles three messages: proto.actor's ClusterInit, which comes first and names it, [*Command] and
// [*Query]. The last two are answered by a [*Reply], or by proto.actor's DeadLetterResponse when they were certainly
// not handled and may be sent again to a new activation. What the package asks of a log is [Log].
package actor
