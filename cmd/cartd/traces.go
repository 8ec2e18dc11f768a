package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// wantsTraces reports whether traces are to be sent: by the flag, or because the environment says where to. The variables are
// those of the OpenTelemetry specification.
func wantsTraces(flag bool, env func(string) string) bool {
	if strings.EqualFold(env("OTEL_SDK_DISABLED"), "true") || env("OTEL_TRACES_EXPORTER") == "none" {
		return false
	}
	return flag || cmp.Or(env("OTEL_TRACES_EXPORTER"), env("OTEL_EXPORTER_OTLP_ENDPOINT"), env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")) != ""
}

// openTraces returns what makes spans; nil, and nothing of the SDK runs, if nobody wants any.
func (s *service) openTraces(ctx context.Context, flag bool, logger *slog.Logger) (trace.Tracer, error) {
	if !wantsTraces(flag, os.Getenv) {
		return nil, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, err
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", "cartd"), attribute.String("service.version", versionString())),
		resource.WithFromEnv()) // last: OTEL_SERVICE_NAME wins
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("traces could not be sent", "err", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	s.endTraces = func(ctx context.Context) error {
		if err := provider.Shutdown(ctx); err != nil {
			logger.Warn("the last traces could not be sent", "err", err) // no reason to end with an error
		}
		return nil
	}
	return provider.Tracer("cartd"), nil
}
