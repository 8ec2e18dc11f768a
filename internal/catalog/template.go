package catalog

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// template is a URL with places for an id and a country.
type template struct {
	pieces     []piece
	hasID      bool
	hasCountry bool
	display    string // without password and query, which may hold secrets
}

// piece is one part of a template: text as it stands, or a place for a value.
type piece struct {
	place   place
	text    string
	inQuery bool // the place stands behind the first question mark
}

type place int

const (
	asIs place = iota
	idPlace
	countryPlace
)

// parseTemplate returns the template for an http or https URL in which {idName} and {country}
// stand in the path or the query, each any number of times.
func parseTemplate(raw, idName string) (template, error) {
	var t template
	scheme, rest, _ := strings.Cut(raw, "://")
	authority := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		authority = rest[:end]
	}
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		authority = authority[at+1:]
	}
	t.display = fmt.Sprintf("%.16s://%.128s", scheme, authority)
	switch {
	case !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https"):
		return t, fmt.Errorf("URL %s: scheme must be http or https", t.display)
	case strings.ContainsAny(authority, "{}"):
		return t, fmt.Errorf("URL %s: the host cannot depend on what is asked", t.display)
	case strings.Contains(raw, "#"):
		return t, fmt.Errorf("URL %s: a fragment is never sent", t.display)
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] >= 0x7f {
			return t, fmt.Errorf("URL %s: byte %d must be escaped", t.display, i)
		}
	}

	inQuery := false
	for text := raw; text != ""; {
		before, after, found := strings.Cut(text, "{")
		if strings.Contains(before, "}") {
			return t, fmt.Errorf("URL %s: } without {", t.display)
		}
		t.pieces = append(t.pieces, piece{text: before})
		inQuery = inQuery || strings.Contains(before, "?")
		if !found {
			break
		}
		name, behind, closed := strings.Cut(after, "}")
		if !closed {
			return t, fmt.Errorf("URL %s: { without }", t.display)
		}
		switch name {
		case idName:
			t.hasID = true
			t.pieces = append(t.pieces, piece{place: idPlace, inQuery: inQuery})
		case "country":
			t.hasCountry = true
			t.pieces = append(t.pieces, piece{place: countryPlace, inQuery: inQuery})
		default:
			return t, fmt.Errorf("URL %s: {%.32s} is neither {%s} nor {country}", t.display, name, idName)
		}
		text = behind
	}

	// Whether the rest of it is a URL shows once the places are filled.
	u, err := t.expand(key{"x", "XX"})
	if err != nil {
		return t, fmt.Errorf("URL %s: %w", t.display, err)
	}
	if u.Hostname() == "" {
		return t, errors.New("URL has no host")
	}
	return t, nil
}

// expand returns the URL for k, every value escaped for the place it stands in. It returns
// errNotFound if k cannot be asked for safely: a value that is or holds a dot segment would, in
// the hands of a proxy that decodes %2F or a client that resolves "..", be another path.
func (t template) expand(k key) (*url.URL, error) {
	var b strings.Builder
	for _, p := range t.pieces {
		v := p.text
		switch p.place {
		case idPlace:
			v = k.id
		case countryPlace:
			v = k.country
		}
		switch {
		case p.place == asIs:
			b.WriteString(v)
		case p.inQuery:
			b.WriteString(url.QueryEscape(v))
		default:
			b.WriteString(url.PathEscape(v))
		}
	}
	u, err := url.Parse(b.String())
	if err != nil {
		// The cause repeats the whole URL, and with it any secret in there.
		return nil, errors.New("not a valid URL")
	}
	for segment := range strings.FieldsFuncSeq(u.Path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if segment == "." || segment == ".." {
			return nil, fmt.Errorf("dot segment in path: %w", errNotFound)
		}
	}
	return u, nil
}
