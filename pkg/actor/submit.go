package actor

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
)

// answer tells the state as it is now.
func (g *grain[S]) answer(q *Query) *Reply {
	if refusal := g.admit(q.Caller); refusal != nil {
		return &Reply{Refusal: refusal}
	}
	reply := &Reply{Version: g.head(q.Branch).Version, Refusal: g.cfg.Hidden(g.state, g.info, g.now())}
	if q.Branch != "" && g.info.Version > 0 && reply.Refusal == nil {
		reply.Refusal = g.cfg.Branch(g.state, q.Branch)
	}
	if q.Key != "" {
		_, reply.Replayed = g.keys.find(q.Key)
	}
	if !q.Minimal && reply.Refusal == nil {
		reply.View = g.view(q.Branch)
	}
	return reply
}

// admit says why the caller is not let in.
func (g *grain[S]) admit(caller *string) *Refusal {
	if caller == nil {
		return nil
	}
	return g.cfg.Admit(g.state, *caller)
}

// view renders the state of a branch. While a commit is on its way all who ask wait for it with the same bytes.
func (g *grain[S]) view(branch string) []byte {
	if g.queue.Load() == 0 {
		g.shared, g.sharedOf = nil, nil
		return g.render(branch)
	}
	if branch != "" {
		return g.viewOf(branch)
	}
	if g.shared == nil {
		g.shared = g.render("")
	}
	return g.shared
}

// viewOf is view for a branch other than main, while a commit is on its way.
func (g *grain[S]) viewOf(branch string) []byte {
	if g.sharedOf[branch] == nil {
		if g.sharedOf == nil {
			g.sharedOf = map[string][]byte{}
		}
		g.sharedOf[branch] = g.render(branch)
	}
	return g.sharedOf[branch]
}

// render makes a view of the state that nobody else has. It is about as long as the last one: a slice that grows on the
// way there is copied several times.
func (g *grain[S]) render(branch string) []byte {
	view := g.cfg.View(make([]byte, 0, g.viewBytes+g.viewBytes/8), g.state, g.infoOf(branch))
	g.viewBytes = len(view)
	return view
}

// maxWaitingBytes bounds the answers of one activation that wait for the disk: a large cart has large answers.
const maxWaitingBytes = 64 << 20

// submit applies a command and queues its commit. The log answers it, when it is decided.
func (g *grain[S]) submit(ctx protoactor.Context, to *protoactor.PID, cmd *Command) {
	if reply := g.check(cmd); reply != nil {
		g.tell(ctx, to, reply)
		return
	}
	batch, reply := g.apply(cmd)
	if len(batch) == 0 {
		g.resume()
		g.tell(ctx, to, reply)
		return
	}
	var errands []Errand
	if cmd.Branch == "" {
		errands = g.errands()
	}
	f := newFlight(waiter{to: to, reply: reply, wrote: true})
	size := int64(len(reply.View))
	g.waiting.Add(size)
	want := batch[0].Version - 1
	g.last = f
	g.queue.Add(1)
	root, self := ctx.ActorSystem().Root, ctx.Self()
	var committed func()
	if g.cfg.Changed != nil && cmd.Branch == "" {
		committed = g.cfg.Changed(g.id, g.state, g.info)
	}
	var decided func(error)
	if cmd.Appending != nil {
		decided = cmd.Appending()
	}
	g.claim.Append(want, batch, func(err error) {
		if decided != nil {
			decided(err)
		}
		if err == nil && committed != nil {
			committed()
		}
		if err != nil {
			// Before anybody hears of it: what they send next must find another activation.
			if g.lost.CompareAndSwap(false, true) {
				g.cfg.Logger.Error("commit", "kind", g.cfg.Kind, "id", g.id, "err", err)
				root.Stop(self)
			}
			g.cfg.Observer.CommitFailed(g.cfg.Kind, g.id, err)
		} else {
			g.send(errands) // before the answer: who hears it finds them on their way
		}
		g.queue.Add(-1)
		g.waiting.Add(-size)
		f.decide(root, err)
	})
	g.takeSnapshot()
}

// check answers a command that must not be applied; nil if it may.
func (g *grain[S]) check(cmd *Command) *Reply {
	if refusal := g.admit(cmd.Caller); refusal != nil {
		return &Reply{Refusal: refusal}
	}
	if cmd.Key != "" {
		if first, ok := g.keys.find(cmd.Key); ok {
			if first != cmd.Request {
				return &Reply{Version: g.head(cmd.Branch).Version, Refusal: Refuse(CodeKeyReused, "this idempotency key was used for another request")}
			}
			reply := g.answer(&Query{Branch: cmd.Branch, Minimal: cmd.Minimal})
			reply.Replayed = true
			return reply
		}
	}
	refuse := func(code, message string) *Reply {
		return &Reply{Version: g.head(cmd.Branch).Version, Refusal: Refuse(code, "%s", message)}
	}
	switch {
	case len(cmd.Steps) == 0:
		return refuse(CodeInternal, "the command has no steps")
	case cmd.MustExist && g.info.Version == 0:
		return refuse(CodeNotFound, "there is no such "+g.cfg.Kind)
	case cmd.Branch != "" && g.cfg.Hidden(g.state, g.info, g.now()) != nil: // no handler of main, and nothing due, tells
		return g.answer(&Query{Branch: cmd.Branch, Minimal: true})
	case cmd.IfVersion != nil && *cmd.IfVersion != g.head(cmd.IfBranch).Version:
		reply := g.answer(&Query{Branch: cmd.IfBranch})
		if reply.Refusal == nil {
			reply.Refusal = Refuse(CodeVersionConflict, "expected version %d, got %d", *cmd.IfVersion, reply.Version)
		}
		return reply
	case !cmd.Deadline.IsZero() && !g.used.Before(cmd.Deadline):
		return refuse(CodeUnavailable, "the request waited too long and was not applied")
	case !cmd.Settles && g.events+uint64(len(cmd.Steps)) > uint64(g.cfg.MaxEvents):
		return refuse(CodeFull, fmt.Sprintf("the %s has had %d changes; the most is %d", g.cfg.Kind, g.events, g.cfg.MaxEvents))
	case g.queue.Load() >= int64(g.cfg.MaxInFlight) || g.waiting.Load() > maxWaitingBytes:
		return refuse(CodeUnavailable, "too many changes of this "+g.cfg.Kind+" wait for the disk")
	}
	if err := g.cfg.Log.Writable(); err != nil {
		return refuse(CodeUnavailable, "changes cannot be stored at present")
	}
	return nil
}

// made is what comes of a command. With one step, as most commands have, it is one piece of memory: several cost more to
// make, and to find again, than what is in them.
type made struct {
	reply    Reply
	outcomes [1]Outcome
	events   [1]Event
	payload  [payloadBytes]byte
}

// payloadBytes is room for what most mutations encode to. With it made just fits the allocator's 512 bytes.
const payloadBytes = 240

// apply runs the steps of cmd on the state. It returns the events to append, none if the command changes nothing,
// and the answer to give once they are stored.
func (g *grain[S]) apply(cmd *Command) ([]Event, *Reply) {
	made := new(made)
	state, reply, info := g.state, &made.reply, g.head(cmd.Branch)
	batch, room := made.events[:0], made.payload[:0]
	reply.Outcomes = made.outcomes[:0]
	if n := len(cmd.Steps); n > 1 {
		batch, reply.Outcomes = make([]Event, 0, n), make([]Outcome, 0, n)
	}
	required, optional, accepted := false, 0, 0
	for i := range cmd.Steps {
		required = required || !cmd.Steps[i].Optional
	}
	if required && len(cmd.Steps) > 1 {
		if g.cfg.Clone == nil {
			return nil, &Reply{Version: info.Version, Refusal: Refuse(CodeInternal, "batches are not supported")}
		}
		state = g.cfg.Clone(g.state) // a later step may be refused, and then nothing must have happened
	}

	now, last := g.now(), g.info.changed()
	if m := g.before(cmd, now); m != nil {
		if state == g.state {
			state = g.cfg.Clone(g.state) // the command may have no effect, and then nothing must have happened
		}
		ev := Event{Version: info.Version + 1, ID: eventID(cmd.Key, 0, now), Time: now}
		if out, changed := g.step(state, m, &ev, last, make([]byte, 0, payloadBytes)); changed {
			batch, last = append(batch, ev), now
		} else if out.Refusal != nil {
			return nil, &Reply{Version: info.Version, Refusal: out.Refusal}
		}
	}
	var refused *Refusal // the one that decides, if the command is refused
	for i := range cmd.Steps {
		step := &cmd.Steps[i]
		if i > 0 {
			room = make([]byte, 0, payloadBytes)
		}
		ev := Event{Branch: cmd.Branch, Version: info.Version + 1 + uint64(len(batch)), ID: eventID(cmd.Key, len(batch), now), Time: now}
		out, changed := g.step(state, step.Mutation, &ev, last, room)
		reply.Outcomes = append(reply.Outcomes, out)
		switch {
		case out.Refusal == nil:
			if changed {
				batch = append(batch, ev)
			}
			if changed && cmd.Branch == "" { // of the others' events main knows nothing
				last = now
			}
			if step.Optional {
				accepted++
			}
		case refused == nil || !step.Optional:
			refused = out.Refusal
		}
		if step.Optional {
			optional++
		} else if out.Refusal != nil {
			return nil, refuseAll(reply, refused, info.Version)
		}
	}
	if optional > 0 && accepted == 0 {
		return nil, refuseAll(reply, refused, info.Version)
	}

	if len(batch) == 0 && cmd.Key != "" {
		batch = append(batch, Event{Branch: cmd.Branch, Version: info.Version + 1, ID: eventID(cmd.Key, 0, now), Time: now, Type: typeNoChange, Payload: []byte("{}")})
	}
	if cmd.Key != "" {
		batch[0].Key, batch[0].Request = cmd.Key, cmd.Request
		g.keys.add(cmd.Key, cmd.Request)
	}
	g.state, g.shared, g.sharedOf = state, nil, nil
	if len(batch) > 0 {
		g.keep(info)
		info.Version += uint64(len(batch))
		g.events += uint64(len(batch))
		g.tail += uint64(len(batch))
		g.touch(info, now)
		if cmd.Branch == "" {
			g.info.Foreign = false
		}
	}
	reply.Version = info.Version
	if !cmd.Minimal {
		g.renderFor(reply, cmd.Branch)
	}
	return batch, reply
}

// before returns what is to be applied before the steps of cmd, in the same commit; nil for nothing.
func (g *grain[S]) before(cmd *Command, now time.Time) Mutation {
	switch {
	case cmd.Branch != "": // both are of main
	case g.info.Version == 0 && cmd.Create != nil:
		return cmd.Create
	case g.cfg.Due != nil:
		return g.cfg.Due(g.state, g.info, cmd.Steps[0].Mutation, now)
	}
	return nil
}

// step applies one mutation, before which the grain has changed at last, and completes ev, with its payload in room if there
// is enough; changed is false when there is nothing to store.
func (g *grain[S]) step(state *S, m Mutation, ev *Event, last time.Time, room []byte) (out Outcome, changed bool) {
	mt := g.cfg.Registry.byType[reflect.TypeOf(m)]
	if mt == nil {
		return Outcome{Refusal: Refuse(CodeUnknownMutation, "%T is not a mutation of a %s", m, g.cfg.Kind)}, false
	}
	// Encoded first: what cannot be stored must not be applied.
	payload, err := g.cfg.Encode(room, m)
	if err != nil {
		return Outcome{Type: mt.name, Refusal: Refuse(CodeInternal, "the mutation could not be encoded")}, false
	}
	out = Outcome{Type: mt.name, Payload: payload}
	ev.Type, ev.Payload = mt.stored, payload
	err = mt.apply(state, m, Meta{Time: ev.Time, Branch: ev.Branch, Version: ev.Version, ID: ev.ID, Last: last})
	if err == nil || errors.Is(err, NoChange) {
		return out, err == nil
	}
	if refusal, ok := errors.AsType[*Refusal](err); ok {
		out.Refusal = refusal
		return out, false
	}
	g.cfg.Logger.Error("apply", "kind", g.cfg.Kind, "id", g.id, "mutation", mt.name, "err", err)
	out.Refusal = Refuse(CodeInternal, "the mutation could not be applied")
	return out, false
}

// refuseAll turns reply into that of a command that had no effect on a branch at that version.
func refuseAll(reply *Reply, because *Refusal, version uint64) *Reply {
	for i := range reply.Outcomes {
		if reply.Outcomes[i].Refusal == nil {
			reply.Outcomes[i].Refusal = Refuse(CodeNotApplied, "another mutation of the same request was refused")
		}
	}
	reply.Refusal, reply.Version = because, version
	return reply
}

// tell sends an answer that was made from the present state, once that state is on stable storage.
func (g *grain[S]) tell(ctx protoactor.Context, to *protoactor.PID, reply *Reply) {
	w := waiter{to: to, reply: reply}
	if g.last == nil {
		ctx.Send(to, reply)
		return
	}
	if now, err := g.last.join(&w, g.cfg.MaxQueued); now {
		ctx.Send(to, w.answer(err))
	}
}
