package grain

import (
	"encoding/json"
	"strconv"

	"github.com/google/uuid"

	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// subscription is what the shop has noted about a subscription in the cart. The cart does not look into it.
type subscription struct {
	offeringCode, signingType string
	data                      string // a JSON document, as it came; or ""
}

// upsertSubscription sets the details under an id. Without one they get the event's own, which is the same at every
// replay.
func upsertSubscription(c *Cart, m *messages.UpsertSubscriptionDetails, meta actor.Meta) error {
	id := m.GetId()
	switch {
	case id != "":
		if err := checkWord(field{"id", id, maxIDBytes}); err != nil {
			return err
		}
	case meta.ID != uuid.Nil:
		id = meta.ID.String()
	default: // an event of a log without ids
		id = "v" + strconv.FormatUint(meta.Version, 10)
	}
	err := checkTexts(field{"offeringCode", m.OfferingCode, maxTextBytes}, field{"signingType", m.SigningType, maxTextBytes},
		field{"data", m.Data, maxDataBytes})
	if err != nil {
		return err
	}
	if m.Data != "" && !json.Valid([]byte(m.Data)) {
		return invalid("data", "data must be a JSON document.")
	}
	details := subscription{m.OfferingCode, m.SigningType, m.Data}
	old, known := c.subscriptions[id]
	if known && old == details {
		return actor.NoChange
	}
	if !known && len(c.subscriptions) >= maxSubscriptions {
		return invalid("", "A cart holds the details of at most %d subscriptions.", maxSubscriptions)
	}
	if c.subscriptions == nil {
		c.subscriptions = map[string]subscription{}
	}
	c.subscriptions[id] = details
	return nil
}
