package actor

import "time"

// Info is what a grain knows of its state beside the state itself.
type Info struct {
	ID               string    // the grain's id
	Branch           string    // what follows is about this line of versions; "" is main
	Version          uint64    // number of the last event applied; 0: nothing has happened yet
	Created, Updated time.Time // of the first and the last event; zero at version 0
	Damaged          bool      // some record of the log did not check out: the state may lack an event
}
