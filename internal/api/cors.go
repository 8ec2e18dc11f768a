package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/rs/cors"
)

// Origin is where a page comes from, as browsers write it: https://shop.example, or http://localhost:3000. It is made by
// [ParseOrigin] alone.
type Origin string

// ParseOrigin returns s as an origin. It refuses what a browser never sends in the header Origin, and so would never
// match: a path, capital letters, the scheme's own port, letters that are not ASCII. There is no *: who may use the cookie
// is said by name.
func ParseOrigin(s string) (Origin, error) {
	bad := func(why string) (Origin, error) { return "", fmt.Errorf("origin %q: %s", s, why) }
	u, err := url.Parse(s)
	switch {
	case s == "*":
		return bad("each origin has to be named: its pages may use the browser's cart")
	case err != nil:
		return bad(errors.Unwrap(err).Error())
	case u.Scheme != "http" && u.Scheme != "https":
		return bad("it must begin with https:// or http://")
	case u.Hostname() == "" || s != u.Scheme+"://"+u.Host:
		return bad("it must be a scheme and a host, with its port if that is not the scheme's own, and no more")
	case u.Host != strings.ToLower(u.Host):
		return bad("browsers write it in lower case")
	case strings.HasSuffix(u.Host, ":"), u.Port() == "80" && u.Scheme == "http", u.Port() == "443" && u.Scheme == "https":
		return bad("browsers leave out the scheme's own port")
	}
	for i := range len(u.Host) {
		switch c := u.Host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', strings.IndexByte("-._:[]", c) >= 0:
		default:
			return bad("browsers write a host in ASCII, in Punycode if need be, and there are no wildcards")
		}
	}
	return Origin(s), nil
}

// trusting returns the protection of the session API against pages of other origins than its own and these.
func trusting(origins []Origin) *http.CrossOriginProtection {
	p := http.NewCrossOriginProtection()
	for _, o := range origins {
		if err := p.AddTrustedOrigin(string(o)); err != nil {
			panic("api: " + err.Error()) // it came past ParseOrigin
		}
	}
	return p
}

// preflightSeconds is how long a browser remembers what it may do.
const preflightSeconds = 600

// cors lets pages of the configured origins read answers. Only the session API is for requests with cookies.
func (s *server) cors(next http.Handler) http.Handler {
	if len(s.CORSOrigins) == 0 {
		return next
	}
	opts := cors.Options{
		AllowedMethods: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"},
		AllowedHeaders: []string{"Accept", "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Prefer", "Traceparent", "X-Request-Id"},
		ExposedHeaders: []string{"ETag", "Idempotent-Replayed", "Location", "Preference-Applied", "Retry-After", "X-Request-Id"},
		MaxAge:         preflightSeconds,
		// A preflight is answered as any OPTIONS is, with what is possible at the path.
		OptionsPassthrough: true,
	}
	for _, o := range s.CORSOrigins {
		opts.AllowedOrigins = append(opts.AllowedOrigins, string(o))
	}
	resource := cors.New(opts).Handler(next)
	opts.AllowCredentials = true
	session := cors.New(opts).Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path := r.URL.Path; path == "/cart" || strings.HasPrefix(path, "/cart/") {
			session.ServeHTTP(w, r)
			return
		}
		resource.ServeHTTP(w, r)
	})
}
