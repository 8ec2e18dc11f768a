package actor_test

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	protoactor "github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/cluster"

	"cartd/pkg/actor"
)

// A wish list: another aggregate than the cart.
type wishlist struct{ wishes []string }

type wish struct {
	Text string `json:"text"`
}

func wishes() *actor.MutationRegistry[wishlist] {
	registry := actor.NewMutationRegistry[wishlist]()
	actor.Register(registry, "Wish", func(w *wishlist, m *wish, _ actor.Meta) error {
		if m.Text == "" {
			return actor.Refuse("nothing_wished", "a wish needs a text")
		}
		w.wishes = append(w.wishes, m.Text)
		return nil
	})
	return registry
}

func Example() {
	log := newMemoryLog() // anything that implements actor.Log
	system := quietSystem()
	props := actor.Props(system, actor.Config[wishlist]{
		Kind:     "wishlist",
		Registry: wishes(),
		Log:      log,
		View: func(dst []byte, w *wishlist, info actor.Info) []byte {
			return fmt.Appendf(dst, "v%d: %s", info.Version, strings.Join(w.wishes, ", "))
		},
	})
	// In a cluster, the placement does this when the first message for the identity comes.
	activate := func() *protoactor.PID {
		pid := system.Root.Spawn(props)
		system.Root.Send(pid, &cluster.ClusterInit{Identity: cluster.NewClusterIdentity("ada", "wishlist")})
		return pid
	}
	ask := func(pid *protoactor.PID, msg any) *actor.Reply {
		answer, err := system.Root.RequestFuture(pid, msg, 5*time.Second).Result()
		if err != nil {
			panic(err)
		}
		return answer.(*actor.Reply)
	}

	pid := activate()
	for _, text := range []string{"a lamp", "a lamp", "", "a cat"} {
		// The key makes the second lamp a repeat of the first.
		reply := ask(pid, &actor.Command{Steps: []actor.Step{{Mutation: &wish{text}}}, Key: text})
		switch {
		case reply.Refusal != nil:
			fmt.Println(reply.Refusal)
		default:
			fmt.Printf("%s (repeat: %t)\n", reply.View, reply.Replayed)
		}
	}

	system.Root.PoisonFuture(pid).Wait()
	fmt.Printf("%s\n", ask(activate(), &actor.Query{}).View)
	// Output:
	// v1: a lamp (repeat: false)
	// v1: a lamp (repeat: true)
	// nothing_wished: a wish needs a text
	// v2: a lamp, a cat (repeat: false)
	// v2: a lamp, a cat
}

func quietSystem() *protoactor.ActorSystem {
	return protoactor.NewActorSystem(
		protoactor.WithLoggerFactory(func(*protoactor.ActorSystem) *slog.Logger { return slog.New(slog.DiscardHandler) }),
		protoactor.WithDeadLetterRequestLogging(false),
	)
}
