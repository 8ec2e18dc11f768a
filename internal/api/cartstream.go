package api

import (
	"errors"
	"net/http"
	"strconv"

	"cartd/internal/eventlog"
	"cartd/internal/live"
)

// lastEventID returns where a client that comes back wants to go on; ok is false if it does not say.
func lastEventID(r *http.Request) (after uint64, ok bool, err error) {
	values := r.Header["Last-Event-Id"]
	if len(values) == 0 || len(values) == 1 && values[0] == "" {
		return 0, false, nil
	}
	if after, err = strconv.ParseUint(values[0], 10, 64); err != nil || len(values) > 1 {
		return 0, false, fault("invalid_request", "Last-Event-ID is not one that was sent from here")
	}
	return after, true, nil
}

// endsCart are the types of events behind which a cart's stream ends: because nothing can follow and the cart is not shown
// any more, or because it is another's from now on; that of a branch also ends with the branch. Who comes back is asked who it is, and told what there is to be told.
func endsCart(name string) bool {
	return name == "CartDeleted" || name == "CartExpired" || name == "SetUserId"
}

// streamCart answers the events of a cart, whose branch is at version, and then each as it comes. head was the log's before
// the client was let in.
func (s *server) streamCart(w http.ResponseWriter, r *http.Request, id eventlog.StreamID, q *eventlog.Query, version, head uint64) error {
	after, ok, err := lastEventID(r)
	if err != nil {
		return err
	}
	if ok {
		q.After = after
	}
	if q.After > version {
		return compacted(1, "the cart has had no version %d; it may have been restored from a backup", q.After)
	}
	watch, err := s.Streams.Hub.Watch(id) // before the log is read
	if errors.Is(err, live.ErrClosed) {
		return fault("unavailable", "the server is stopping")
	}
	if err != nil {
		return err
	}
	defer watch.Close()
	st, err := s.openStream(w, r, ofCart, s.cartStreams)
	if err != nil {
		return err
	}
	defer st.close()
	if r.Method == http.MethodHead {
		return nil
	}
	c := &cartStream{log: s.Streams.Log, stream: st, id: id, q: q, head: head, last: q.After, left: q.Limit}
	if !r.URL.Query().Has("limit") {
		c.left = -1
	}
	for behind := true; ; {
		if behind {
			if err := c.replay(); err != nil {
				s.streamFailed(r, st, err)
				return nil
			}
		}
		if err := st.flush(); err != nil || c.over {
			return nil
		}
		behind = false
		select {
		case <-watch.News():
			var events []*eventlog.Event
			if events, behind = watch.Take(); !behind {
				behind, err = c.take(events)
			}
		case <-st.heartbeat.C:
			err = st.beat(0)
		case <-st.ctx.Done():
			return nil
		}
		if err != nil {
			return nil // the client has gone
		}
	}
}

// streamFailed tells of an error that ends a stream. Its end is a clean one all the same: the client comes back, and hears
// why.
func (s *server) streamFailed(r *http.Request, st *stream, err error) {
	if st.ctx.Err() == nil && !errors.Is(err, errGone) {
		s.Logger.Warn("a stream of events cannot be read", "request", exchangeOf(r).id, "path", r.URL.EscapedPath(), "err", err)
	}
}

// errGone means that a client takes nothing any more.
var errGone = errors.New("the client has gone")

// cartStream is where the stream of a cart is.
type cartStream struct {
	*stream
	log  EventLog
	id   eventlog.StreamID
	head uint64 // position behind which what ends a stream does
	q    *eventlog.Query
	last uint64 // version up to which all is sent, or left out
	left int    // events that may be sent still; -1: any number
	over bool   // nothing follows
}

// replay sends what the log has behind last.
func (c *cartStream) replay() error {
	for ev, err := range c.log.Read(c.ctx, c.id) {
		if err != nil {
			return err
		}
		if err := c.send(&ev); err != nil {
			return errors.Join(errGone, err)
		}
		if c.over || c.ctx.Err() != nil {
			break
		}
	}
	return nil
}

// take sends what has come. behind is true when some is missing before it; the log has that.
func (c *cartStream) take(events []*eventlog.Event) (behind bool, err error) {
	for _, ev := range events {
		if c.over {
			break
		}
		if ev.Branch == c.q.Branch && ev.Version > c.last+1 {
			return true, nil
		}
		if err := c.send(ev); err != nil {
			return false, err
		}
	}
	return false, nil
}

// send sends an event, if it was not sent and is selected.
func (c *cartStream) send(ev *eventlog.Event) error {
	c.over = c.over || ev.Position > c.head && endsCart(ev.Type) // on whatever branch
	if ev.Branch != c.q.Branch || ev.Version <= c.last {
		return nil
	}
	c.last = ev.Version
	c.over = c.over || ev.Type == "BranchDeleted"
	if !c.q.Selects(ev) {
		return nil
	}
	if c.left--; c.left == 0 {
		c.over = true
	}
	return c.put(ev.Version, ev.Type, ev)
}
