package openapi_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"cartd/internal/api/openapi"
)

// The document is one of OpenAPI 3.1. That its examples are of their schemas is asked in package conform, in less time.
func TestDocumentIsValid(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(openapi.JSON())
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context(), openapi3.DisableExamplesValidation()); err != nil {
		t.Error(err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Paths.Len() == 0 {
		t.Errorf("version %s, %d paths", doc.OpenAPI, doc.Paths.Len())
	}
}
