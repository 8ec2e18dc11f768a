package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"cartd/internal/grain"
	"cartd/internal/readmodel"
)

const (
	defaultCarts = 100
	maxCarts     = 1000
)

// statuses are those that a cart can have.
var statuses = []grain.Status{grain.StatusOpen, grain.StatusCheckout, grain.StatusOrdered, grain.StatusMerged, grain.StatusDeleted, grain.StatusExpired}

// answerList answers a page of carts.
func (s *server) answerList(w http.ResponseWriter, r *http.Request) error {
	q, err := listQuery(r)
	if err != nil {
		return err
	}
	page, err := s.List.List(r.Context(), q)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, appendList(nil, page))
	return nil
}

// listQuery reads the query of a request for carts.
func listQuery(r *http.Request) (readmodel.Query, error) {
	q := readmodel.Query{Limit: defaultCarts}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, fault("invalid_request", "the query cannot be read")
	}
	for _, name := range []string{"status", "userId", "updatedBefore", "limit", "cursor"} {
		if len(values[name]) > 1 {
			return q, fault("invalid_request", "%s is there more than once", name)
		}
	}
	q.Status, q.UserID, q.Cursor = grain.Status(values.Get("status")), values.Get("userId"), values.Get("cursor")
	if q.Status != "" && !slices.Contains(statuses, q.Status) {
		return q, invalid("status", "must be one of %v", statuses)
	}
	if values.Has("updatedBefore") {
		if q.UpdatedBefore, err = parseTime("updatedBefore", values.Get("updatedBefore")); err != nil {
			return q, err
		}
	}
	if values.Has("limit") {
		n, err := strconv.ParseInt(values.Get("limit"), 10, 64)
		if err != nil {
			return q, fault("invalid_request", "limit is not an integer")
		}
		if n < 1 || n > maxCarts {
			return q, invalid("limit", "must be 1 to %d", maxCarts)
		}
		q.Limit = int(n)
	}
	return q, nil
}

// appendList writes a page of carts.
func appendList(b []byte, page readmodel.Page) []byte {
	b = append(b, `{"carts":[`...)
	for i := range page.Carts {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSummary(b, &page.Carts[i])
	}
	b = append(b, `],"next":"`...)
	b = append(b, page.Next...) // made of characters that need no escapes
	return append(b, '"', '}')
}

func appendSummary(b []byte, c *grain.Summary) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, c.ID...)
	b = append(b, `","status":"`...)
	b = append(b, c.Status...)
	b = append(b, `","userId":`...)
	b, _ = appendMarshal(b, c.UserID) // a string always can be
	b = append(b, `,"currency":`...)
	b, _ = appendMarshal(b, c.Currency)
	b = append(b, `,"total":`...)
	b = strconv.AppendInt(b, c.Total, 10)
	b = append(b, `,"lines":`...)
	b = strconv.AppendInt(b, int64(c.Lines), 10)
	b = append(b, `,"version":`...)
	b = strconv.AppendUint(b, c.Version, 10)
	b = append(b, `,"createdAt":"`...)
	b = c.Created.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	b = append(b, `","updatedAt":"`...)
	b = c.Updated.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z07:00")
	return append(b, '"', '}')
}
