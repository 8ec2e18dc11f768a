package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"cartd/internal/api/openapi"
)

// document is something that is the same for every client, for as long as this program runs.
type document struct {
	kind   string // Content-Type
	plain  []byte
	packed []byte // with gzip
	etag   string // weak: it stands for both
}

// newDocument makes a document of its content.
func newDocument(kind string, plain []byte) *document {
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // a level that there is
	w.Write(plain)                                             //nolint:errcheck // a buffer never fails
	w.Close()                                                  //nolint:errcheck
	return &document{kind: kind, plain: plain, packed: packed.Bytes(), etag: contentTag(plain)}
}

// contentTag names a content.
func contentTag(b []byte) string {
	sum := sha256.Sum256(b)
	return `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// serve answers with the document, or 304.
func (d *document) serve(w http.ResponseWriter, r *http.Request) error {
	tags, err := entityTags(r, "If-None-Match")
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("ETag", d.etag)
	h.Set("Cache-Control", "public, no-cache") // kept by whom you like, and asked for anew: it changes with the program
	h.Add("Vary", "Accept-Encoding")           // beside the Origin, where pages of others may read it
	for _, tag := range tags {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == strings.TrimPrefix(d.etag, "W/") {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	body := d.plain
	if acceptsGzip(r) {
		body = d.packed
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", d.kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	io.Copy(w, bytes.NewReader(body)) //nolint:errcheck // the client has gone
	return nil
}

// acceptsGzip reports whether the client names gzip, and does not refuse it.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header["Accept-Encoding"], ","), ",") {
		coding, quality, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			_, q, _ := strings.Cut(quality, "=")
			return strings.Trim(q, " 0.") != "" || !strings.Contains(quality, "=")
		}
	}
	return false
}

// contract is the document of this API.
var contract = sync.OnceValue(func() *document { return newDocument("application/json", openapi.JSON()) })

func (s *server) readContract(w http.ResponseWriter, r *http.Request) error {
	return contract().serve(w, r)
}
