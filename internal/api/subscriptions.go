package api

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"cartd/internal/eventlog"
	"cartd/internal/subscription"
)

// subscriptionRoutes are those of durable subscriptions.
func (s *server) subscriptionRoutes() []route {
	const one = "/v1/subscriptions/{name}"
	return []route{
		{"/v1/subscriptions", methods{"GET": s.backend(s.listSubscriptions), "POST": s.backend(s.createSubscription)}},
		{one, methods{"GET": s.backend(s.readSubscription), "DELETE": s.backend(s.deleteSubscription)}},
		{one + "/events", methods{"GET": s.backend(s.subscriptionEvents)}},
		{one + "/ack", methods{"POST": s.backend(s.ackSubscription)}},
		{one + "/dead-letters", methods{"GET": s.backend(s.listDeadLetters)}},
	}
}

// subscriptionView is a subscription as the backend sees it.
type subscriptionView struct {
	Name      string       `json:"name"`
	Types     []string     `json:"types"`
	Position  uint64       `json:"position"`
	Head      uint64       `json:"head"`
	CreatedAt string       `json:"createdAt"`
	Webhook   *webhookView `json:"webhook,omitempty"`
}

type webhookView struct {
	URL         string `json:"url"`
	Secret      string `json:"secret,omitempty"` // in the answer that makes it alone
	DeadLetters uint64 `json:"deadLetters"`
	Missed      uint64 `json:"missed"`
	Failing     int    `json:"failing"`
	LastError   string `json:"lastError"`
}

func (s *server) viewOf(i *subscription.Info) subscriptionView {
	v := subscriptionView{Name: i.Name, Types: i.Types, Position: i.Position, Head: s.Streams.Log.Head(), CreatedAt: i.Created.Format("2006-01-02T15:04:05.000Z07:00")}
	if v.Types == nil {
		v.Types = []string{}
	}
	if i.URL != "" {
		v.Webhook = &webhookView{URL: i.URL, Secret: i.Secret, DeadLetters: i.Dead, Missed: i.Missed, Failing: i.Failing, LastError: i.Error}
	}
	return v
}

func (s *server) listSubscriptions(w http.ResponseWriter, _ *http.Request) error {
	all, err := s.Subscriptions.List()
	if err != nil {
		return err
	}
	list := struct {
		Subscriptions []subscriptionView `json:"subscriptions"`
	}{make([]subscriptionView, 0, len(all))}
	for i := range all {
		list.Subscriptions = append(list.Subscriptions, s.viewOf(&all[i]))
	}
	return writeValue(w, http.StatusOK, &list)
}

func (s *server) createSubscription(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Name    string   `json:"name"`
		After   *uint64  `json:"after"`
		Types   []string `json:"types"`
		Webhook *struct {
			URL    string `json:"url"`
			Secret string `json:"secret"`
		} `json:"webhook"`
	}
	b, err := readBody(r)
	if err != nil {
		return err
	}
	if err := b.decode(&req); err != nil {
		return err
	}
	def := subscription.Definition{Name: req.Name, Types: req.Types}
	if req.Webhook != nil {
		def.Webhook = &subscription.Webhook{URL: req.Webhook.URL, Secret: req.Webhook.Secret}
	}
	_, err = s.Subscriptions.Get(req.Name)
	if req.After != nil && errors.Is(err, subscription.ErrNotFound) { // one that is there has a place, wherever it was to begin
		earliest, err := eventlog.Earliest(r.Context(), s.Streams.Log)
		if err != nil {
			return err
		}
		if err := s.checkCursor(*req.After, earliest, ""); err != nil {
			return err
		}
	}
	info, made, err := s.Subscriptions.Create(def, req.After)
	if wrong, ok := errors.AsType[*subscription.FieldError](err); ok {
		return invalid(wrong.Field, "%s", wrong.Message)
	}
	if err != nil {
		return err
	}
	status := http.StatusOK
	if made {
		status = http.StatusCreated
		w.Header().Set("Location", "/v1/subscriptions/"+info.Name)
	}
	return writeValue(w, status, s.viewOf(&info))
}

// subscriptionOf returns the subscription that the path names.
func (s *server) subscriptionOf(r *http.Request) (subscription.Info, error) {
	name, ok := pathVar(r, "name")
	if !ok {
		return subscription.Info{}, errNotFound
	}
	return s.Subscriptions.Get(name)
}

func (s *server) readSubscription(w http.ResponseWriter, r *http.Request) error {
	info, err := s.subscriptionOf(r)
	if err != nil {
		return err
	}
	return writeValue(w, http.StatusOK, s.viewOf(&info))
}

func (s *server) deleteSubscription(w http.ResponseWriter, r *http.Request) error {
	info, err := s.subscriptionOf(r)
	if err != nil {
		return err
	}
	if err := s.Subscriptions.Delete(info.Name); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// limitOf reads a request's limit, and after if there is one.
func limitOf(r *http.Request) (after uint64, limit int, err error) {
	q, err := eventsQuery(r)
	return q.After, q.Limit, err
}

// subscriptionEvents answers what follows a subscription's checkpoint.
func (s *server) subscriptionEvents(w http.ResponseWriter, r *http.Request) error {
	info, err := s.subscriptionOf(r)
	if err != nil {
		return err
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault("invalid_request", "the query cannot be read")
	}
	for name := range values {
		if name != "limit" {
			return fault("invalid_request", "%.40s has no meaning here: what follows the checkpoint is answered", name)
		}
	}
	_, limit, err := limitOf(r)
	if err != nil {
		return err
	}
	q := &eventlog.FeedQuery{Kind: eventlog.KindCart, Query: eventlog.Query{After: info.Position, Types: info.Types, Limit: limit}}
	page, err := s.readFeed(r.Context(), q)
	if err != nil {
		return err
	}
	w.Header().Set(incarnationHeader, s.Streams.Log.Incarnation().String())
	writeJSON(w, http.StatusOK, s.appendFeedPage(nil, page))
	return nil
}

func (s *server) ackSubscription(w http.ResponseWriter, r *http.Request) error {
	info, err := s.subscriptionOf(r)
	if err != nil {
		return err
	}
	var req struct {
		Position *uint64 `json:"position"`
	}
	b, err := readBody(r)
	if err != nil {
		return err
	}
	if err := b.decode(&req); err != nil {
		return err
	}
	switch head := s.Streams.Log.Head(); {
	case req.Position == nil:
		return invalid("position", "must be there")
	case *req.Position > head:
		return invalid("position", "must not be above %d, where the log ends", head)
	}
	if info, err = s.Subscriptions.Ack(info.Name, *req.Position); err != nil {
		return err
	}
	return writeValue(w, http.StatusOK, s.viewOf(&info))
}

func (s *server) listDeadLetters(w http.ResponseWriter, r *http.Request) error {
	info, err := s.subscriptionOf(r)
	if err != nil {
		return err
	}
	after, limit, err := limitOf(r)
	if err != nil {
		return err
	}
	letters, err := s.Subscriptions.DeadLetters(info.Name, after, limit)
	if err != nil {
		return err
	}
	b := append([]byte(nil), `{"deadLetters":[`...)
	for i := range letters {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendMarshal(b, &letters[i]); err != nil {
			return err
		}
		after = letters[i].Position
	}
	b = append(b, `],"next":`...)
	b = strconv.AppendUint(b, after, 10)
	b = append(b, `,"total":`...)
	writeJSON(w, http.StatusOK, append(strconv.AppendUint(b, info.Dead, 10), '}'))
	return nil
}
