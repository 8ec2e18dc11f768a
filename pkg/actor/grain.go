package actor

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/cluster"
	"github.com/google/uuid"
)

// Props returns what proto.actor needs to make activations: each is told its identity by a ClusterInit message
// that comes before all others. Props panics when cfg lacks something that is required.
func Props[S any](system *protoactor.ActorSystem, cfg Config[S]) *protoactor.Props {
	cfg = cfg.withDefaults()
	return protoactor.PropsFromProducer(
		func() protoactor.Actor { return &grain[S]{past: past[S]{cfg: &cfg}} },
		protoactor.WithMailbox(newMailbox(system, cfg.MaxQueued)),
	)
}

// typeNoChange is the event of a command that had a key and found nothing to change. It is there to remember the
// key: without it a repeat that comes after other commands would be applied.
const typeNoChange = "NoChange"

// grain is one activation. Receive owns all fields; flights are shared with the log, which decides them.
type grain[S any] struct {
	past[S] // its state is nil until the log has been replayed

	claim Claim
	last  *flight      // the newest commit; nil before the first
	queue atomic.Int64 // commits that are not decided
	tail  uint64       // events behind the last snapshot

	waiting   atomic.Int64      // bytes of the views in their answers
	shared    []byte            // the view that those who ask now get, while commits are not decided
	sharedOf  map[string][]byte // the same of branches other than main
	viewBytes int               // length of the last view that was made

	idle  time.Duration // how long without requests this activation stays
	used  time.Time     // when the last request was taken up
	stays bool          // somebody has asked who did not want to leave
	timer *time.Timer   // sends idleCheck; nil before the log has been replayed

	// lost is set when the state can no longer be trusted to be what the log holds. Nothing is handled from then
	// on: the next activation does. Set by Receive, and by the log when a commit fails.
	lost atomic.Bool
	// dead says why the log could not be replayed; nil if it could.
	dead *Refusal
}

// Receive handles one message at a time.
func (g *grain[S]) Receive(ctx protoactor.Context) {
	defer g.contain(ctx)
	switch msg := ctx.Message().(type) {
	case *cluster.ClusterInit:
		g.activate(ctx, msg.Identity.GetIdentity())
	case *Command:
		g.handle(ctx, msg.Leave, func(to *protoactor.PID) { g.submit(ctx, to, msg) })
	case *Query:
		g.handle(ctx, msg.Leave, func(to *protoactor.PID) {
			g.resume()
			g.tell(ctx, to, g.answer(msg))
		})
	case idleCheck:
		g.checkIdle(ctx)
	case *protoactor.Stopping:
		g.passivate(ctx)
	}
}

// handle sees to what every request has in common.
func (g *grain[S]) handle(ctx protoactor.Context, leave bool, do func(to *protoactor.PID)) {
	to := ctx.Sender()
	g.used = time.Now()
	g.stays = g.stays || !leave
	switch {
	case to == nil: // nobody waits for an answer, so nobody would know
	case g.lost.Load() || g.state == nil && g.dead == nil:
		ctx.Send(to, &protoactor.DeadLetterResponse{})
	case g.dead != nil:
		ctx.Send(to, &Reply{Refusal: g.dead})
	default:
		do(to)
		if g.info.Version == 0 && g.queue.Load() == 0 || !g.stays {
			ctx.Stop(ctx.Self()) // asking for what does not exist must cost no memory; commits that wait are decided all the same
		}
	}
}

// contain keeps a panic within this activation. The state may be half changed: it is not used again.
func (g *grain[S]) contain(ctx protoactor.Context) {
	r := recover()
	if r == nil {
		return
	}
	// The end comes first: should the observer panic as well, nothing is left that would answer for ever that it is
	// no activation.
	g.lost.Store(true)
	ctx.Stop(ctx.Self())
	if to := ctx.Sender(); to != nil {
		ctx.Send(to, &Reply{Refusal: Refuse(CodeInternal, "the request could not be handled")})
	}
	g.cfg.Observer.Panicked(g.cfg.Kind, g.id, r)
}

func (g *grain[S]) activate(ctx protoactor.Context, id string) {
	g.id = id
	g.cfg.Observer.Activated(g.cfg.Kind, g.id)
	if err := g.replay(context.Background()); err != nil {
		if errors.Is(err, ErrStale) { // another activation was faster: it is the one to ask
			g.lost.Store(true)
			ctx.Stop(ctx.Self())
			return
		}
		// Whoever asks hears about it; then this activation ends, and the next one tries again.
		g.cfg.Logger.Error("activate", "kind", g.cfg.Kind, "id", id, "err", err)
		g.dead = Refuse(CodeInternal, "the %s could not be loaded", g.cfg.Kind)
		if errors.Is(err, ErrUnavailable) {
			g.dead = Refuse(CodeUnavailable, "the log cannot be read at present")
		}
		ctx.Poison(ctx.Self())
		return
	}
	g.send(g.errands()) // an activation before this one, or a process before ours, may not have come to an end with them
	g.watchIdle(ctx)
}

// idleCheck is what an activation sends itself when its idle time may be over.
type idleCheck struct{}

// IgnoreDeadLetterLogging keeps proto.actor from logging a check that comes after the end.
func (idleCheck) IgnoreDeadLetterLogging() {}

// watchIdle starts the idle time. proto.actor's ReceiveTimeout is not used: its timer changes fields of the actor
// from a goroutine of its own, without a lock, and a request that comes at that moment can find them half changed.
// It also stops and starts the timer for each request; this one only notes the time.
func (g *grain[S]) watchIdle(ctx protoactor.Context) {
	g.idle = g.cfg.Idle - rand.N(g.cfg.Idle/8+1)
	g.used = time.Now()
	root, self := ctx.ActorSystem().Root, ctx.Self()
	g.timer = time.AfterFunc(g.idle, func() { root.Send(self, idleCheck{}) })
}

// checkIdle ends an activation that nobody has used for its idle time.
func (g *grain[S]) checkIdle(ctx protoactor.Context) {
	left := g.idle - time.Since(g.used)
	if g.queue.Load() > 0 {
		left = g.idle // the disk is slower than our patience; those who wait are still there
	}
	if left > 0 {
		g.timer.Reset(left)
		return
	}
	ctx.Stop(ctx.Self())
}

// passivate lets go of all that the activation holds. It tells so last, and whatever happens: who is not told goes
// on sending messages here.
func (g *grain[S]) passivate(ctx protoactor.Context) {
	if g.cfg.Stopped != nil {
		defer g.cfg.Stopped(g.id, ctx.Self())
	}
	if g.timer != nil {
		g.timer.Stop()
	}
	if g.claim != nil {
		g.claim.Release()
	}
	g.cfg.Observer.Passivated(g.cfg.Kind, g.id, g.info.Version)
}

// replay makes the state what the log says.
func (g *grain[S]) replay(ctx context.Context) (err error) {
	start := time.Now()
	defer func() { g.cfg.Observer.Replayed(g.cfg.Kind, g.id, time.Since(start), int(g.tail), err) }()

	g.claim, err = g.cfg.Log.Activate(ctx, g.id)
	if err != nil {
		return fmt.Errorf("claim the log of %s %s: %w", g.cfg.Kind, g.id, err)
	}
	state := new(S)
	g.info = Info{ID: g.id}
	for ev, err := range g.claim.Replay(ctx, g.loader(&state)) {
		if err != nil {
			return fmt.Errorf("replay %s %s after version %d: %w", g.cfg.Kind, g.id, g.info.Version, err)
		}
		g.tail++
		if err := g.reapply(state, ev); err != nil {
			return fmt.Errorf("replay %s %s, version %d: %w", g.cfg.Kind, g.id, ev.Version, err)
		}
	}
	g.state = state
	return nil
}

// loader returns what makes a snapshot the state; nil if none are wanted.
func (g *grain[S]) loader(state **S) func([]byte) error {
	if g.cfg.Snapshots == nil {
		return nil
	}
	return func(data []byte) error {
		s, err := g.load(data)
		if err != nil {
			g.cfg.Logger.Warn("snapshot is not used", "kind", g.cfg.Kind, "id", g.id, "err", err)
			return err
		}
		*state, g.tail = s, 0
		return nil
	}
}

// errands returns what the present state wants other grains to do.
func (g *grain[S]) errands() []Errand {
	if g.cfg.Errands == nil {
		return nil
	}
	return g.cfg.Errands(g.id, g.state)
}

func (g *grain[S]) send(errands []Errand) {
	if len(errands) > 0 {
		g.cfg.Send(g.id, errands)
	}
}

// resume hands open errands over again for whoever asks for something and changes nothing: who carries them may have given
// up, and an activation that is asked all the time is not followed by another one. It costs nothing where there are none.
func (g *grain[S]) resume() {
	if g.queue.Load() == 0 { // else their commit hands them over
		g.send(g.errands())
	}
}

// now is the time for new events: in milliseconds, as the log keeps it, and never before the last event's.
func (g *grain[S]) now() time.Time {
	t := g.used
	if g.cfg.Now != nil {
		t = g.cfg.Now()
	}
	t = t.UTC().Truncate(time.Millisecond)
	if t.Before(g.latest) {
		return g.latest
	}
	return t
}

// eventID makes the id of a commit's nth event, which is of the time at. The first one of a command with a key is made
// from the key, so that the log itself knows a repeat (RFC 9562, version 8); the others are ordered by time (version 7).
func eventID(key string, n int, at time.Time) (id uuid.UUID) {
	if n == 0 && key != "" {
		return uuid.NewHash(sha256.New(), keyNamespace, []byte(key), 8)
	}
	// 48 bits of milliseconds and 74 random ones. An id must not come twice, but it is no secret: crypto/rand, which
	// uuid.NewV7 reads, takes ten times as long.
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16|rand.Uint64()>>48)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// keyNamespace is an arbitrary constant: ids that are made from keys must be the same for ever.
var keyNamespace = uuid.MustParse("6f1d0a52-7c0e-4b8e-9a36-2c7f4d1e8b90")
