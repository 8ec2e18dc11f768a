package actor

import (
	"time"

	"github.com/google/uuid"
)

// Info is what a grain knows of its state beside the state itself.
type Info struct {
	ID               string    // the grain's id
	Branch           string    // what follows is about this line of versions; "" is main
	Version          uint64    // number of the last event applied; 0: nothing has happened yet
	Created, Updated time.Time // of the first and the last event; zero at version 0
	// Foreign says that the last event was not made by an activation: another service has, and its times are no news.
	Foreign bool
	Damaged bool // some record of the log did not check out: the state may lack an event
}

// changed is Updated, zero if that is another service's.
func (i *Info) changed() time.Time {
	if i.Foreign {
		return time.Time{}
	}
	return i.Updated
}

// foreign reports whether no activation has made the event: those of a log without ids have none, and an import makes
// ids of what it reads, which activations do of keys alone (see eventID).
func (ev *Event) foreign() bool {
	return ev.ID == uuid.Nil || ev.ID.Version() == 8 && ev.Key == ""
}
