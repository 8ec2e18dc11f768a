package grain

import (
	"strconv"
	"strings"

	"cartd/internal/eventlog"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// unsettled reports whether the cart wants something of other grains.
func (c *Cart) unsettled() bool { return c.merging != nil || len(c.settlements) > 0 }

// errands returns what the cart wants other grains to do; see docs/protocols.md.
func errands(id string, c *Cart) (all []actor.Errand) {
	if c.merging != nil {
		all = append(all, c.mergeErrand(id))
	}
	for _, s := range c.settlements {
		all = append(all, c.settlementErrand(id, s))
	}
	return all
}

// MergeErrand is the beginning of the names of the errands by which a cart goes into the cart into.
func MergeErrand(into string) string { return "merge " + into + " " }

// mergeErrand asks the other cart to take over the lines of this one, whose id is from. It is made from a frozen cart, and
// so each time the same.
func (c *Cart) mergeErrand(from string) actor.Errand {
	into, started := c.merging.into, c.merging.started
	return actor.Errand{
		Name: MergeErrand(into) + strconv.FormatUint(started, 10),
		Kind: string(eventlog.KindCart), To: into,
		Command: actor.Command{
			Steps: []actor.Step{{Mutation: c.takeover(from)}},
			// No client can send a key with a blank in it.
			Key: "merge " + from, Request: 1,
			IfVersion: c.merging.ifVersion, MustExist: true, Minimal: true,
		},
		Report: func(decided *actor.Reply) actor.Command {
			var end actor.Mutation = &messages.CartMerged{Into: into, Started: started}
			if r := decided.Refusal; r != nil && !decided.Replayed {
				end = &messages.MergeAborted{Into: into, Started: started, Code: clip(r.Code, maxKeyBytes), Message: clip(r.Message, maxLongTextBytes)}
			}
			return actor.Command{Steps: []actor.Step{{Mutation: end}}, Minimal: true, Settles: true}
		},
	}
}

// clip returns s as a text of at most limit bytes.
func clip(s string, limit int) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s[:min(len(s), limit)], ""), "\x00", "")
}
