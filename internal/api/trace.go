package api

import (
	"context"
	"log/slog"
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"cartd/pkg/actor"
)

// Spans are made only if there is a Tracer: a request, each time a cart is asked, and each commit from its queueing to its
// decision. Names and attributes hold no ids of carts; who looks for one searches for the request's id.

// startSpan begins the span of a request, in the trace that its traceparent (W3C) names.
func (s *server) startSpan(r *http.Request, x *exchange) (context.Context, trace.Span) {
	return s.Tracer.Start(remote(x, r), r.Method, trace.WithSpanKind(trace.SpanKindServer))
}

func remote(ctx context.Context, r *http.Request) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.HeaderCarrier(r.Header))
}

func endSpan(span trace.Span, x *exchange, method string, status int) {
	method = knownMethod(method)
	span.SetName(method + " " + x.route)
	span.SetAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", x.route),
		attribute.Int("http.response.status_code", status), attribute.String("cartd.request_id", x.id))
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, http.StatusText(status))
	}
	span.End()
}

// traceAsk begins the span of asking a cart, and that of the commit if msg makes one. end takes what came of it.
func (s *server) traceAsk(ctx context.Context, kind string, msg any) (_ context.Context, end func(error)) {
	if s.Tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := s.Tracer.Start(ctx, "ask "+kind)
	if cmd, ok := msg.(*actor.Command); ok {
		cmd.Appending = func() func(error) {
			_, commit := s.Tracer.Start(ctx, "append")
			return func(err error) { endWith(commit, err) }
		}
	}
	return ctx, func(err error) { endWith(span, err) }
}

func endWith(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, problemOf(err).Code)
	}
	span.End()
}

// traceID is the trace that r belongs to, for the log; nothing if it has none.
func traceID(r *http.Request) slog.Attr {
	at := trace.SpanContextFromContext(r.Context())
	if !at.IsValid() {
		at = trace.SpanContextFromContext(remote(context.Background(), r))
	}
	if !at.IsValid() {
		return slog.Attr{}
	}
	return slog.String("trace", at.TraceID().String())
}
