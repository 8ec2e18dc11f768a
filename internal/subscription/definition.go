package subscription

import (
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
)

// Definition is what a subscription is to be.
type Definition struct {
	Name    string
	Types   []string // empty: all
	Webhook *Webhook // nil: its events are fetched
}

// Webhook is where events are sent.
type Webhook struct {
	URL    string
	Secret string // "": one is made
}

// FieldError says what is wrong with a Definition.
type FieldError struct{ Field, Message string }

func (e *FieldError) Error() string { return e.Field + " " + e.Message }

const (
	maxTypes  = 64
	maxURL    = 2048
	minSecret = 24 // bytes of the key, as Standard Webhooks has them
	maxSecret = 64
	// secretPrefix marks a secret as one of webhooks.
	secretPrefix = "whsec_"
)

var (
	nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	typeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]{0,63}(@[1-9][0-9]{0,5})?$`)
)

// record checks the definition and returns what is stored of it.
func (d *Definition) record() (record, []byte, error) {
	r := record{Name: d.Name, Types: d.Types}
	if !nameForm.MatchString(d.Name) {
		return r, nil, &FieldError{"name", "must be 1 to 64 of a-z, 0-9, - and _, the first a letter or digit"}
	}
	if len(d.Types) > maxTypes {
		return r, nil, &FieldError{"types", "must be 64 at the most"}
	}
	for _, t := range d.Types {
		if !typeForm.MatchString(t) {
			return r, nil, &FieldError{"types", "must be names of events, such as AddItem"}
		}
	}
	if d.Webhook == nil {
		return r, nil, nil
	}
	if err := checkURL(d.Webhook.URL); err != nil {
		return r, nil, err
	}
	r.URL, r.Secret = d.Webhook.URL, d.Webhook.Secret
	if r.Secret == "" {
		var key [32]byte
		rand.Read(key[:])
		r.Secret = secretPrefix + base64.StdEncoding.EncodeToString(key[:])
	}
	key, err := ParseSecret(r.Secret)
	return r, key, err
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case len(s) > maxURL:
		return &FieldError{"webhook.url", "must not be longer than 2048 bytes"}
	case err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		return &FieldError{"webhook.url", "must be a URL like https://shop.example/hooks"}
	case u.Scheme != "http" && u.Scheme != "https":
		return &FieldError{"webhook.url", "must begin with http:// or https://"}
	case u.User != nil:
		return &FieldError{"webhook.url", "must have no user and no password: what is sent is signed"}
	case u.Fragment != "" || strings.Contains(s, "#"):
		return &FieldError{"webhook.url", "must have no fragment"}
	}
	return nil
}

// ParseSecret returns the key of a webhook's secret: 24 to 64 bytes in base64 behind whsec_. The error, a *FieldError, does
// not repeat it.
func ParseSecret(s string) ([]byte, error) {
	text, ok := strings.CutPrefix(s, secretPrefix)
	key, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret || strings.ContainsAny(text, "\r\n") { // which decoding skips
		return nil, &FieldError{"webhook.secret", "must be whsec_ and 24 to 64 bytes in base64"}
	}
	return key, nil
}
