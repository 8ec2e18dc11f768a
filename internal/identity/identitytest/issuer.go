// Package identitytest makes tokens and the key sets that they are checked with, for tests.
package identitytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// Issuer signs tokens, and is a handler that serves its key set. Its methods are safe for concurrent use.
type Issuer struct {
	t testing.TB

	mu    sync.Mutex // guards what follows
	n     int        // keys made
	kid   string
	key   crypto.Signer
	down  bool
	asked int
}

// New returns an issuer with one ES256 key.
func New(t testing.TB) *Issuer {
	i := &Issuer{t: t}
	i.Rotate()
	return i
}

// Rotate makes a new key, which replaces the old one.
func (i *Issuer) Rotate() {
	i.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.n++
	i.kid, i.key = "k-"+strconv.Itoa(i.n), key
}

// Down makes the key set unreachable, or reachable again.
func (i *Issuer) Down(down bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = down
}

// Asked returns how often the key set was asked for.
func (i *Issuer) Asked() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked
}

// KeySet returns the key set as JSON.
func (i *Issuer) KeySet() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keySet()
}

func (i *Issuer) keySet() []byte {
	b, err := json.Marshal(map[string]any{"keys": []any{Public(i.t, i.kid, i.key.Public())}})
	if err != nil {
		i.t.Error(err)
	}
	return b
}

// Public returns a public key as a JSON Web Key.
func Public(t testing.TB, kid string, key crypto.PublicKey) jwkset.JWKMarshal {
	jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: kid, USE: jwkset.UseSig}})
	if err != nil {
		t.Error(err)
	}
	return jwk.Marshal()
}

// ServeHTTP answers with the key set.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked++
	if i.down {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	w.Write(i.keySet()) //nolint:errcheck // the client has gone
}

// Token returns a token for sub that counts for an hour; change may alter its claims.
func (i *Issuer) Token(sub string, change ...func(jwt.MapClaims)) string {
	i.t.Helper()
	claims := jwt.MapClaims{"sub": sub, "exp": time.Now().Add(time.Hour).Unix()}
	for _, c := range change {
		c(claims)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return Sign(i.t, jwt.SigningMethodES256, i.kid, i.key, claims)
}

// Sign returns a token that is signed with any method and key.
func Sign(t testing.TB, method jwt.SigningMethod, kid string, key any, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}
