package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/internal/sse"
)

// incarnationHeader says what positions belong to.
const incarnationHeader = "Cartd-Incarnation"

// feedRest is how long a stream of the feed rests after a look at it, so that it reads many commits at once.
const feedRest = 10 * time.Millisecond

// feedRoutes are those of what the backend hears of all carts.
func (s *server) feedRoutes() []route {
	if s.Streams.Log == nil {
		return nil
	}
	routes := []route{{"/v1/events", methods{"GET": s.backend(s.feedEvents)}}}
	if s.Subscriptions != nil {
		routes = append(routes, s.subscriptionRoutes()...)
	}
	return routes
}

// feedEvents answers the events of all carts by position: a page, or a stream.
func (s *server) feedEvents(w http.ResponseWriter, r *http.Request) error {
	q, err := s.feedQuery(r)
	if err != nil {
		return err
	}
	w.Header().Set(incarnationHeader, s.Streams.Log.Incarnation().String())
	if s.wantsStream(r) {
		return s.streamFeed(w, r, q)
	}
	page, err := s.readFeed(r.Context(), q)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, s.appendFeedPage(nil, page))
	return nil
}

// feedQuery reads the query of a request for the feed. After is where to begin, in each case.
func (s *server) feedQuery(r *http.Request) (*eventlog.FeedQuery, error) {
	base, err := eventsQuery(r)
	if err != nil {
		return nil, err
	}
	q := &eventlog.FeedQuery{Query: base, Kind: eventlog.KindCart}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault("invalid_request", "the query cannot be read")
	}
	for _, name := range []string{"cart", "incarnation"} {
		if len(values[name]) > 1 {
			return nil, fault("invalid_request", "%s is there more than once", name)
		}
	}
	if name := values.Get("cart"); values.Has("cart") {
		id, err := grain.ParseCartID(name)
		if err != nil {
			return nil, invalid("cart", "%s", err)
		}
		if q.Only, err = eventlog.ParseStreamID(eventlog.KindCart, string(id)); err != nil {
			return nil, invalid("cart", "%s", err)
		}
	}
	given := values.Has("after")
	if s.wantsStream(r) {
		after, ok, err := lastEventID(r)
		if err != nil {
			return nil, err
		}
		if ok {
			q.After, given = after, true
		}
	}
	earliest, err := eventlog.Earliest(r.Context(), s.Streams.Log)
	if err != nil {
		return nil, err
	}
	if !given {
		q.After = earliest
		return q, nil
	}
	return q, s.checkCursor(q.After, earliest, values.Get("incarnation"))
}

// checkCursor refuses a position that there is no going on from. earliest is the one in front of the first event that is kept.
func (s *server) checkCursor(after, earliest uint64, incarnation string) error {
	log := s.Streams.Log
	var p *problem
	switch present := log.Incarnation().String(); {
	case incarnation != "" && incarnation != present:
		p = compacted(earliest+1, "the position belongs to another log: this one was restored from a backup")
	case after > log.Head():
		p = compacted(earliest+1, "the log has not come to position %d: it was restored from a backup, or the position was not got here", after)
	case after < earliest:
		p = compacted(earliest+1, "what follows position %d is not kept any more", after)
	default:
		return nil
	}
	p.Incarnation = log.Incarnation().String()
	return p
}

// readFeed reads a page of the feed.
func (s *server) readFeed(ctx context.Context, q *eventlog.FeedQuery) (eventlog.Page, error) {
	page, err := eventlog.ReadFeed(ctx, s.Streams.Log, q)
	return page, s.feedProblem(err)
}

// feedProblem says an error of the feed in the words of the API.
func (s *server) feedProblem(err error) error {
	if c, ok := errors.AsType[*eventlog.CompactedError](err); ok {
		return cmp.Or(s.checkCursor(c.After, c.Earliest-1, ""), err)
	}
	return err
}

func (s *server) appendFeedPage(b []byte, page eventlog.Page) []byte {
	b = appendPage(b, page)
	b = append(b[:len(b)-1], `,"incarnation":"`...)
	b = append(b, s.Streams.Log.Incarnation().String()...)
	return append(b, `"}`...)
}

// streamFeed answers the feed, and then each event as it comes.
func (s *server) streamFeed(w http.ResponseWriter, r *http.Request, q *eventlog.FeedQuery) error {
	st, err := s.openStream(w, r, ofFeed, s.feedStreams)
	if err != nil {
		return err
	}
	defer st.close()
	if r.Method == http.MethodHead {
		return nil
	}
	st.buf = append(sse.AppendType(st.buf, "feed"), `data: {"incarnation":"`+s.Streams.Log.Incarnation().String()+`","head":`...)
	st.buf = append(strconv.AppendUint(st.buf, s.Streams.Log.Head(), 10), "}\n\n"...)
	f := &feedStream{stream: st, log: s.Streams.Log, q: q, told: q.After, left: -1}
	if r.URL.Query().Has("limit") {
		f.left = q.Limit
	}
	if err := f.run(); err != nil {
		if p, ok := errors.AsType[*problem](s.feedProblem(err)); ok { // its reader was too slow: the answer that it would get
			p := *p
			p.Instance = r.URL.EscapedPath()
			st.buf = append(sse.AppendType(st.buf, p.Code), "data: "...)
			st.buf, _ = appendMarshal(st.buf, &p) // all its parts are made here
			st.buf = append(st.buf, "\n\n"...)
			return nil
		}
		s.streamFailed(r, st, err)
	}
	return nil
}

// feedStream is where a stream of the feed is.
type feedStream struct {
	*stream
	log  EventLog
	q    *eventlog.FeedQuery // After is where it stands
	told uint64              // the position that the client knows
	left int                 // events that may be sent still; -1: any number
}

// run sends until the client or the server goes, or the feed has an error.
func (f *feedStream) run() error {
	if err := f.flush(); err != nil {
		return errors.Join(errGone, err)
	}
	for rest := time.NewTimer(0); ; {
		select {
		case <-rest.C:
		case <-f.ctx.Done():
			rest.Stop()
			return nil
		}
		for waiting := true; waiting; {
			select {
			case <-f.log.Changed(f.q.After):
				waiting = false
			case <-f.heartbeat.C:
				if err := f.sign(); err != nil {
					return errors.Join(errGone, err)
				}
			case <-f.ctx.Done():
				return nil
			}
		}
		if err := f.look(); err != nil || f.left == 0 {
			return err
		}
		rest.Reset(feedRest)
	}
}

// sign gives a sign of life, and the cursor if that has moved over what was left out.
func (f *feedStream) sign() error {
	if f.q.After == f.told {
		return f.beat(0)
	}
	f.told = f.q.After
	return f.beat(f.told)
}

// look sends what is behind After by now.
func (f *feedStream) look() error {
	for ev, err := range f.log.ReadAll(f.ctx, f.q.After) {
		if err != nil {
			return err
		}
		f.q.After = ev.Position
		if f.q.Selects(&ev) {
			f.told = ev.Position
			if err := f.put(ev.Position, ev.Type, &ev); err != nil {
				return errors.Join(errGone, err)
			}
			if f.left--; f.left == 0 {
				break
			}
		}
		select {
		case <-f.heartbeat.C: // nothing that it looks for has come for long
			if err := f.sign(); err != nil {
				return errors.Join(errGone, err)
			}
		default:
		}
	}
	if err := f.flush(); err != nil {
		return errors.Join(errGone, err)
	}
	return nil
}
