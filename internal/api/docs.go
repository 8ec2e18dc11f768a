package api

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"net/http"
	"sync"

	swaggerui "github.com/swaggest/swgui/v5/static"
)

//go:embed docs
var docsFiles embed.FS

// docs are the page that shows the contract and what it needs, by name. Swagger UI comes packed from its module, and
// is sent so.
var docs = sync.OnceValue(func() map[string]*document {
	own := func(kind, name string) *document {
		b, err := docsFiles.ReadFile("docs/" + name)
		if err != nil {
			panic("api: " + err.Error()) // embedded: not without this file
		}
		return newDocument(kind, b)
	}
	return map[string]*document{
		"":                     own("text/html; charset=utf-8", "index.html"),
		"start.js":             own("text/javascript; charset=utf-8", "start.js"),
		"swagger-ui-bundle.js": packedDocument("text/javascript; charset=utf-8", "swagger-ui-bundle.js.gz"),
		"swagger-ui.css":       packedDocument("text/css; charset=utf-8", "swagger-ui.css.gz"),
		"favicon-32x32.png":    iconDocument("favicon-32x32.png"),
	}
})

// packedDocument makes a document of a file of Swagger UI that is packed.
func packedDocument(kind, name string) *document {
	packed, err := swaggerui.FS.ReadFile(name)
	if err != nil {
		panic("api: " + err.Error())
	}
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic("api: " + name + ": " + err.Error())
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		panic("api: " + name + ": " + err.Error())
	}
	return &document{kind: kind, plain: plain, packed: packed, etag: contentTag(plain)}
}

func iconDocument(name string) *document {
	b, err := swaggerui.FS.ReadFile(name)
	if err != nil {
		panic("api: " + err.Error())
	}
	return newDocument("image/png", b)
}

// docsPolicy lets the page load what this server has, and nothing else: no script or style in the page itself, no
// other host, no frame around it.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

func (s *server) readDocs(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Security-Policy", docsPolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	return docs()[""].serve(w, r)
}

func (s *server) readDocsFile(w http.ResponseWriter, r *http.Request) error {
	name, _ := pathVar(r, "file")
	d, ok := docs()[name]
	if !ok || name == "" {
		return errNotFound
	}
	return d.serve(w, r)
}
