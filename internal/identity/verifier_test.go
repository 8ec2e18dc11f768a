package identity_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"cartd/internal/identity"
	"cartd/internal/identity/identitytest"
)

// open returns a verifier of a key set that is served over HTTP, which may be read again at once.
func open(t *testing.T, issuer *identitytest.Issuer, opts identity.Options) *identity.Verifier {
	t.Helper()
	server := httptest.NewServer(issuer)
	t.Cleanup(server.Close)
	v, err := identity.Open(t.Context(), server.URL, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func wantRefused(t *testing.T, v *identity.Verifier, what, token string) {
	t.Helper()
	sub, err := v.Subject(t.Context(), token)
	if _, ok := errors.AsType[*identity.InvalidError](err); !ok || sub != "" {
		t.Errorf("%s: got %q, %v, want an InvalidError", what, sub, err)
	}
}

func wantSubject(t *testing.T, v *identity.Verifier, what, token, want string) {
	t.Helper()
	if sub, err := v.Subject(t.Context(), token); err != nil || sub != want {
		t.Errorf("%s: got %q, %v, want %q", what, sub, err, want)
	}
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOnlyWhatTheIssuerHasSignedForUsCounts(t *testing.T) {
	issuer := identitytest.New(t)
	v := open(t, issuer, identity.Options{Issuer: "https://login.example", Audience: []string{"shop", "shop-test"}})
	token := func(change func(jwt.MapClaims)) string {
		return issuer.Token("u-1", func(c jwt.MapClaims) { c["iss"], c["aud"] = "https://login.example", "shop" }, change)
	}
	good := token(func(jwt.MapClaims) {})
	wantSubject(t, v, "a good token", good, "u-1")
	wantSubject(t, v, "one of several audiences", token(func(c jwt.MapClaims) { c["aud"] = []string{"other", "shop-test"} }), "u-1")
	wantSubject(t, v, "a clock that is a little off", token(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Second).Unix() }), "u-1")

	now := time.Now()
	for what, change := range map[string]func(jwt.MapClaims){
		"expired":              func(c jwt.MapClaims) { c["exp"] = now.Add(-time.Minute).Unix() },
		"no expiry":            func(c jwt.MapClaims) { delete(c, "exp") },
		"an expiry in words":   func(c jwt.MapClaims) { c["exp"] = "tomorrow" },
		"not yet valid":        func(c jwt.MapClaims) { c["nbf"] = now.Add(time.Hour).Unix() },
		"another audience":     func(c jwt.MapClaims) { c["aud"] = "bank" },
		"no audience":          func(c jwt.MapClaims) { delete(c, "aud") },
		"another issuer":       func(c jwt.MapClaims) { c["iss"] = "https://login.example.evil.example" },
		"no issuer":            func(c jwt.MapClaims) { delete(c, "iss") },
		"no subject":           func(c jwt.MapClaims) { delete(c, "sub") },
		"an empty subject":     func(c jwt.MapClaims) { c["sub"] = "" },
		"a subject of numbers": func(c jwt.MapClaims) { c["sub"] = 17 },
	} {
		wantRefused(t, v, what, token(change))
	}
	head, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	another := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"u-2","iss":"https://login.example","aud":"shop","exp":4102444800}`))
	for what, token := range map[string]string{
		"nothing":            "",
		"words":              "let me in",
		"other claims":       head + "." + another + "." + signature,
		"no signature":       head + "." + payload + ".",
		"two parts":          head + "." + payload,
		"a signature of one": good[:len(good)-4],
	} {
		wantRefused(t, v, what, token)
	}
}

// Who knows a public key must not be able to sign with it, in whatever form he takes it for a secret.
func TestPublicKeyIsNoSecret(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte("a secret that somebody has put into the set of public keys")
	set, err := json.Marshal(map[string]any{"keys": []any{
		identitytest.Public(t, "k", key.Public()),
		map[string]string{"kty": "oct", "kid": "s", "k": base64.RawURLEncoding.EncodeToString(secret)},
		map[string]string{"kty": "new", "kid": "n"}, // of a kind that we do not know: left out
	}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "jwks.json")
	writeFile(t, path, set)
	v, err := identity.Open(t.Context(), path, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	claims := jwt.MapClaims{"sub": "u-1", "exp": time.Now().Add(time.Hour).Unix()}
	wantSubject(t, v, "RS256", identitytest.Sign(t, jwt.SigningMethodRS256, "k", key, claims), "u-1")
	wantSubject(t, v, "PS512", identitytest.Sign(t, jwt.SigningMethodPS512, "k", key, claims), "u-1")
	wantSubject(t, v, "no key id", identitytest.Sign(t, jwt.SigningMethodRS256, "", key, claims), "u-1")
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	critical := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	critical.Header["kid"], critical.Header["crit"] = "k", []string{"exp"}
	signed, err := critical.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	for what, token := range map[string]string{
		"none":                 identitytest.Sign(t, jwt.SigningMethodNone, "k", jwt.UnsafeAllowNoneSignatureType, claims),
		"HMAC with DER":        identitytest.Sign(t, jwt.SigningMethodHS256, "k", der, claims),
		"HMAC with PEM":        identitytest.Sign(t, jwt.SigningMethodHS256, "k", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), claims),
		"HMAC with modulus":    identitytest.Sign(t, jwt.SigningMethodHS512, "k", key.N.Bytes(), claims),
		"HMAC with a secret":   identitytest.Sign(t, jwt.SigningMethodHS256, "s", secret, claims),
		"HMAC without an id":   identitytest.Sign(t, jwt.SigningMethodHS256, "", secret, claims),
		"another RSA key":      identitytest.Sign(t, jwt.SigningMethodRS256, "k", other, claims),
		"another kind of key":  identitytest.Sign(t, jwt.SigningMethodES256, "k", ec, claims),
		"EdDSA":                identitytest.Sign(t, jwt.SigningMethodEdDSA, "k", ed, claims),
		"what is critical":     signed,
		"a key of no known id": identitytest.Sign(t, jwt.SigningMethodRS256, "x", key, claims),
	} {
		wantRefused(t, v, what, token)
	}
}

func TestNewKeyIsFoundAndTheLastOnesGoOnWhileTheSetIsDown(t *testing.T) {
	issuer := identitytest.New(t)
	v := open(t, issuer, identity.Options{Spacing: time.Nanosecond})
	first := issuer.Token("u-1")
	wantSubject(t, v, "the first key", first, "u-1")
	issuer.Down(true)
	wantSubject(t, v, "the first key while the set is down", first, "u-1")
	issuer.Rotate()
	second := issuer.Token("u-2")
	wantRefused(t, v, "a key that nobody can know", second)
	wantSubject(t, v, "the first key after a failure", first, "u-1")
	issuer.Down(false)
	wantSubject(t, v, "the second key", second, "u-2")
	wantRefused(t, v, "a key that was taken back", first)
}

// Strangers with made-up key ids must not make us flood the issuer.
func TestUnknownKeysMakeTheSetBeReadOnce(t *testing.T) {
	issuer, stranger := identitytest.New(t), identitytest.New(t)
	v := open(t, issuer, identity.Options{Spacing: time.Hour})
	for range 5 {
		stranger.Rotate()
	}
	token := stranger.Token("u-1")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { wantRefused(t, v, "a stranger's key", token) })
	}
	wg.Wait()
	if n := issuer.Asked(); n != 2 {
		t.Errorf("the key set was read %d times, want twice: at the start and for the first unknown key", n)
	}
}

// The tokens that come at once after a rotation wait for the one reading of the key set.
func TestAllWhoCarryANewKeyAreLetIn(t *testing.T) {
	issuer := identitytest.New(t)
	v := open(t, issuer, identity.Options{Spacing: time.Hour})
	issuer.Rotate()
	token := issuer.Token("u-1")
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { wantSubject(t, v, "the new key", token, "u-1") })
	}
	wg.Wait()
	if n := issuer.Asked(); n != 2 {
		t.Errorf("the key set was read %d times, want twice", n)
	}
}

func TestKeySetThatIsDownAtTheStartIsAskedAgain(t *testing.T) {
	issuer := identitytest.New(t)
	issuer.Down(true)
	v := open(t, issuer, identity.Options{Spacing: time.Nanosecond})
	if _, err := v.Subject(t.Context(), issuer.Token("u-1")); !errors.Is(err, identity.ErrNoKeys) {
		t.Errorf("got %v, want ErrNoKeys: it is not the token's fault", err)
	}
	issuer.Down(false)
	wantSubject(t, v, "a good token", issuer.Token("u-1"), "u-1")
}

func TestKeySetInAFileIsReadAgain(t *testing.T) {
	issuer := identitytest.New(t)
	path := filepath.Join(t.TempDir(), "jwks.json")
	for name, bad := range map[string]string{"words": "keys", "no keys": `{"keys":[]}`, "symmetric": `{"keys":[{"kty":"oct","kid":"s","k":"c2VjcmV0"}]}`} {
		writeFile(t, path, []byte(bad))
		if _, err := identity.Open(t.Context(), path, identity.Options{}); err == nil {
			t.Errorf("%s: the file is taken", name)
		}
	}
	for _, bad := range []string{"", "ftp://login.example/jwks", "https://", path + ".none"} {
		if _, err := identity.Open(t.Context(), bad, identity.Options{}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	writeFile(t, path, issuer.KeySet())
	v, err := identity.Open(t.Context(), path, identity.Options{Spacing: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	first := issuer.Token("u-1")
	wantSubject(t, v, "the first key", first, "u-1")
	issuer.Rotate()
	writeFile(t, path, issuer.KeySet()[:50])
	wantRefused(t, v, "the second key while the file is half written", issuer.Token("u-2"))
	wantSubject(t, v, "the first key while the file is half written", first, "u-1")
	writeFile(t, path, issuer.KeySet())
	wantSubject(t, v, "the second key", issuer.Token("u-2"), "u-2")
}
