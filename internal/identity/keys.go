package identity

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
)

const (
	readTimeout = 5 * time.Second
	maxSetBytes = 1 << 20
	maxKeys     = 100 // a token without a key id is tried with each
)

// source is where the key set is: a file's path or an http(s) URL.
type source string

func parseSource(s string) (source, error) {
	if !strings.Contains(s, "://") {
		if s == "" {
			return "", errors.New("there is no key set")
		}
		return source(s), nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", fmt.Errorf("the key set %q is no file and no http(s) URL", s)
	}
	return source(s), nil
}

func (s source) file() bool { return !strings.Contains(string(s), "://") }

// client follows no redirects: who answers in the issuer's place must not send us elsewhere.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (s source) read(ctx context.Context) ([]byte, error) {
	if s.file() {
		f, err := os.Open(string(s))
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readBounded(f)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(s), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", s, resp.Status)
	}
	return readBounded(resp.Body)
}

func readBounded(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxSetBytes+1))
	if err == nil && len(b) > maxSetBytes {
		err = fmt.Errorf("it has more than %d bytes", maxSetBytes)
	}
	return b, err
}

// parseKeys returns the keys of a set that can sign. Those of kinds that we do not know are left out, as RFC 7517, section
// 5, wants it, and symmetric ones, which have no place in a set that is public.
func parseKeys(raw []byte) (keyfunc.Keyfunc, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, fmt.Errorf("it is no JSON Web Key Set: %w", err)
	}
	storage, n := jwkset.NewMemoryStorage(), 0
	for _, k := range set.Keys {
		if k.KTY == jwkset.KtyOct || k.USE != "" && k.USE != jwkset.UseSig {
			continue
		}
		key, err := jwkset.NewJWKFromMarshal(k, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil {
			continue
		}
		if err := storage.KeyWrite(context.Background(), key); err != nil {
			return nil, err
		}
		if n++; n > maxKeys {
			return nil, fmt.Errorf("it has more than %d keys", maxKeys)
		}
	}
	if n == 0 {
		return nil, errors.New("it has no public key that can sign")
	}
	return keyfunc.New(keyfunc.Options{Storage: storage})
}
