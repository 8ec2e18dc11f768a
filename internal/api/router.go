package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/mux"
)

// handler is an http.Handler that can fail; problemOf makes an answer of the error.
type handler func(w http.ResponseWriter, r *http.Request) error

// methods are the handlers of one path, by method.
type methods map[string]handler

// route is a path, as the contract writes it, with its methods.
type route struct {
	path    string
	methods methods
}

// routes returns all routes of the public port. What api.md names and is not here yet answers 404.
func (s *server) routes() []route {
	routes := []route{ // what storefronts call most comes first: mux tries one after the other
		{"/v1/carts/{id}/items", methods{"POST": s.addItems, "PUT": s.replaceItems, "DELETE": s.clearItems}},
		{"/v1/carts/{id}", methods{"GET": s.readCart, "DELETE": s.deleteCart}},
		{"/v1/carts/{id}/items/{item}", methods{"PATCH": s.changeItem, "DELETE": s.removeItem}},
		{"/v1/carts", methods{"POST": s.createCart, "GET": s.listCarts()}},
		{"/v1/carts/{id}/deliveries", methods{"POST": s.addDelivery}},
		{"/v1/carts/{id}/deliveries/{d}", methods{"DELETE": s.removeDelivery}},
		{"/v1/carts/{id}/deliveries/{d}/pickup-point", methods{"PUT": s.setPickupPoint}},
		{"/v1/carts/{id}/checkout", methods{"POST": s.startCheckout, "DELETE": s.abortCheckout}},
		{"/v1/carts/{id}/events", methods{"GET": s.listEvents}},
		{"/v1/carts/{id}/vouchers", methods{"POST": s.addVoucher}},
		{"/v1/carts/{id}/vouchers/{v}", methods{"DELETE": s.removeVoucher}},
		{"/v1/carts/{id}/branches", methods{"GET": s.listBranches, "POST": s.forkBranch}},
		{"/v1/carts/{id}/branches/{b}", methods{"GET": s.readBranch, "DELETE": s.deleteBranch}},
		{"/v1/carts/{id}/branches/{b}/promote", methods{"POST": s.promoteBranch}},
		{"/v1/carts/{id}/merge", methods{"POST": s.merge}},
		{"/v1/carts/{id}/refresh", methods{"POST": s.refresh}},
		{"/v1/carts/{id}/user", methods{"PUT": s.setUser}},
		{"/v1/carts/{id}/subscription-details", methods{"PUT": s.setSubscription}},
		{"/openapi.json", methods{"GET": s.readContract}},
		{"/docs", methods{"GET": s.readDocs}},
		{"/docs/{file}", methods{"GET": s.readDocsFile}},
	}
	routes = append(routes, s.sessionRoutes()...)
	if len(s.tokens) > 0 && s.Oplog != nil {
		routes = append(routes,
			route{"/v1/operations", methods{"GET": s.backend(s.listOperations)}},
			route{"/v1/operations/stats", methods{"GET": s.backend(s.readOperationStats)}})
	}
	if len(s.tokens) > 0 { // else there is nobody to let in, and nothing to be seen
		routes = append(routes,
			route{"/v1/carts/{id}/order", methods{"POST": s.backend(s.createOrder)}},
			route{"/v1/carts/{id}/mutations", methods{"POST": s.backend(s.applyMutations)}})
		routes = append(routes, s.feedRoutes()...)
	}
	return routes
}

// router returns the handler of all routes.
func (s *server) router() http.Handler {
	r := mux.NewRouter()
	for _, rt := range s.routes() {
		// A pattern of our own, and not mux's, which is a regular expression.
		p := parsePattern(rt.path)
		r.MatcherFunc(func(req *http.Request, _ *mux.RouteMatch) bool {
			x := exchangeOf(req)
			return p.match(x.path, &x.vars)
		}).Handler(s.handle(rt.path, rt.methods))
		for method := range rt.methods {
			s.Metrics.expect(rt.path, method, contractOperations()[rt.path][method].expected...)
		}
	}
	r.NotFoundHandler = s.handle("", nil)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req = withoutTrailingSlash(req)
		x := exchangeOf(req)
		x.path, x.found.Vars = req.URL.EscapedPath(), noVars
		r.Match(req, &x.found) // finds NotFoundHandler, if nothing else; r.ServeHTTP would copy the request twice to remember it
		x.found.Handler.ServeHTTP(w, req)
	})
}

// noVars are the variables that mux finds: the patterns are our own. It would make such a map for each request.
var noVars = map[string]string{}

// listCarts returns the handler of the list of carts, which only the backend gets to see, if there is one.
func (s *server) listCarts() handler {
	if len(s.tokens) == 0 || s.List == nil {
		return notHere
	}
	return s.backend(s.answerList)
}

// notHere answers for a method that api.md has at a path and this server does not.
func notHere(http.ResponseWriter, *http.Request) error { return errNotFound }

// handle handles the requests of one path, "" for those that have none.
func (s *server) handle(path string, m methods) http.Handler {
	allowed := []string{"OPTIONS"}
	for name := range m {
		allowed = append(allowed, name)
		if name == http.MethodGet {
			allowed = append(allowed, "HEAD")
		}
	}
	slices.Sort(allowed)
	allow := strings.Join(allowed, ", ")
	names := operationNames(path, m)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path != "" {
			exchangeOf(r).route = path
		}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet // net/http leaves the body out
		}
		h, ok := m[method]
		exchangeOf(r).operation = names[method]
		err := s.admit(r)
		switch {
		case err != nil:
			waitLittle(w, r)
			s.fail(w, r, err)
		case m == nil:
			s.fail(w, r, errNotFound)
		case method == http.MethodOptions:
			w.Header().Set("Allow", allow)
			w.WriteHeader(http.StatusNoContent)
		case !ok:
			w.Header().Set("Allow", allow)
			s.fail(w, r, fault("method_not_allowed", "%.20s is not possible here; allowed: %s", r.Method, allow))
		default:
			if method == http.MethodGet || r.ContentLength == 0 { // else readBody does
				err = exchangeOf(r).enter()
			}
			if err == nil {
				err = h(w, r)
			}
			if err != nil {
				s.fail(w, r, err)
			}
		}
	})
}

// withoutTrailingSlash makes "/x/" the same route as "/x". An encoded slash belongs to the name before it.
func withoutTrailingSlash(r *http.Request) *http.Request {
	escaped := r.URL.EscapedPath()
	if len(escaped) < 2 || escaped[len(escaped)-1] != '/' {
		return r
	}
	u := *r.URL
	u.Path = strings.TrimSuffix(u.Path, "/")
	u.RawPath = strings.TrimSuffix(u.RawPath, "/")
	r2 := *r // a shallow copy: the context, and with it the deadline, stay
	r2.URL = &u
	return &r2
}

// pathVar returns a variable of the path as the client meant it; false if its escapes are wrong.
func pathVar(r *http.Request, name string) (string, bool) {
	v, err := url.PathUnescape(exchangeOf(r).vars.get(name))
	return v, err == nil
}
