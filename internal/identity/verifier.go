package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// ErrNoKeys means that the key set could never be read: nothing is known about any token.
var ErrNoKeys = errors.New("the key set has not been read yet")

// InvalidError says why a token is refused, in words that its bearer may read.
type InvalidError struct{ Reason string }

func (e *InvalidError) Error() string { return "the token " + e.Reason }

// Options says which tokens count. The zero value takes those of every issuer for every audience.
type Options struct {
	// Issuer that tokens must name; "" for any.
	Issuer string
	// Audience of which tokens must name one; empty for any.
	Audience []string
	// Every is how often the key set is read again. Default: 15 min.
	Every time.Duration
	// Spacing is the least time between two readings that tokens with unknown keys cause. Default: 10 s.
	Spacing time.Duration
	// Logger hears when the key set cannot be read. Default: nobody does.
	Logger *slog.Logger
}

// leeway is how far the issuer's clock and ours may be apart.
const leeway = 5 * time.Second

// methods are the algorithms that count: all of them asymmetric.
var methods = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}

// Verifier checks tokens. Its methods are safe for concurrent use.
type Verifier struct {
	opts   Options
	source source
	parser *jwt.Parser
	stop   context.CancelFunc
	done   sync.WaitGroup

	keys atomic.Pointer[keyfunc.Keyfunc] // nil before the set has been read once

	turn chan struct{} // capacity 1: who has put something in reads the key set, and owns what follows
	next time.Time     // before this no unknown key is a reason to read it
	read atomic.Uint64 // how often it has been read
}

// Open reads the key set, a file or an http(s) URL. A file that is no key set is an error; a URL that does not answer is
// logged, and asked again later. Close ends what Open has started.
func Open(ctx context.Context, keySet string, opts Options) (*Verifier, error) {
	if opts.Every <= 0 {
		opts.Every = 15 * time.Minute
	}
	if opts.Spacing <= 0 {
		opts.Spacing = 10 * time.Second
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	src, err := parseSource(keySet)
	if err != nil {
		return nil, err
	}
	rules := []jwt.ParserOption{jwt.WithValidMethods(methods), jwt.WithExpirationRequired(), jwt.WithLeeway(leeway), jwt.WithStrictDecoding()}
	if opts.Issuer != "" {
		rules = append(rules, jwt.WithIssuer(opts.Issuer))
	}
	if len(opts.Audience) > 0 {
		rules = append(rules, jwt.WithAudience(opts.Audience...))
	}
	v := &Verifier{opts: opts, source: src, parser: jwt.NewParser(rules...), turn: make(chan struct{}, 1)}
	if err := v.load(ctx); err != nil {
		if src.file() {
			return nil, err
		}
		opts.Logger.Warn("the key set for tokens cannot be read yet; nobody can be let in by a token", "err", err)
	}
	running, stop := context.WithCancel(context.Background())
	v.stop = stop
	v.done.Go(func() { v.refresh(running) })
	return v, nil
}

// Close ends the reading of the key set. Tokens are still checked.
func (v *Verifier) Close() {
	v.stop()
	v.done.Wait()
}

// Subject returns the subject of a token: who its bearer is. It returns an [*InvalidError] if the token does not count,
// and [ErrNoKeys] if nobody can tell. It may wait for the key set to be read again, at most until ctx ends.
func (v *Verifier) Subject(ctx context.Context, token string) (string, error) {
	before := v.read.Load()
	sub, err := v.check(token)
	if errors.Is(err, jwkset.ErrKeyNotFound) || errors.Is(err, ErrNoKeys) {
		if v.again(ctx, before) {
			sub, err = v.check(token)
		}
	}
	switch {
	case err == nil:
		return sub, nil
	case errors.Is(err, ErrNoKeys):
		return "", ErrNoKeys
	}
	return "", &InvalidError{reason(err)}
}

func (v *Verifier) check(token string) (string, error) {
	keys := v.keys.Load()
	if keys == nil {
		return "", ErrNoKeys
	}
	var claims jwt.RegisteredClaims
	if _, err := v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok { // RFC 7515, section 4.1.11: what must be understood and is not
			return nil, errors.New("crit")
		}
		return (*keys).Keyfunc(t)
	}); err != nil {
		return "", err
	}
	if claims.Subject == "" {
		return "", errNoSubject
	}
	return claims.Subject, nil
}

var errNoSubject = errors.New("no subject")

// reason says what is wrong with a token, and nothing of what is known here.
func reason(err error) string {
	for _, r := range []struct {
		err  error
		text string
	}{
		{jwt.ErrTokenMalformed, "is no JSON Web Token"},
		{jwkset.ErrKeyNotFound, "is signed with a key that is not known"},
		{jwt.ErrTokenUnverifiable, "cannot be checked"},
		{jwt.ErrTokenSignatureInvalid, "is not signed by its issuer"},
		{jwt.ErrTokenExpired, "has expired"},
		{jwt.ErrTokenNotValidYet, "is not valid yet"},
		{jwt.ErrTokenInvalidAudience, "is for another audience"},
		{jwt.ErrTokenInvalidIssuer, "is of another issuer"},
		{errNoSubject, "has no subject"},
		{jwt.ErrTokenRequiredClaimMissing, "lacks a claim that is needed"},
	} {
		if errors.Is(err, r.err) {
			return r.text
		}
	}
	return "is not valid"
}

// refresh reads the key set from time to time.
func (v *Verifier) refresh(ctx context.Context) {
	tick := time.NewTicker(v.opts.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		select {
		case <-ctx.Done():
			return
		case v.turn <- struct{}{}:
		}
		v.loadOrLog(ctx)
		<-v.turn
	}
}

// again reads the key set unless somebody has done so since it had been read before times, or too recently. It reports
// whether it is worth another look.
func (v *Verifier) again(ctx context.Context, before uint64) bool {
	select {
	case v.turn <- struct{}{}: // else whoever has the turn reads what we want to know
	case <-ctx.Done():
		return false
	}
	defer func() { <-v.turn }()
	if v.read.Load() != before {
		return true
	}
	if now := time.Now(); now.Before(v.next) {
		return false
	} else {
		v.next = now.Add(v.opts.Spacing)
	}
	return v.loadOrLog(context.WithoutCancel(ctx)) // who hangs up must not make the others ask in vain
}

func (v *Verifier) loadOrLog(ctx context.Context) bool {
	err := v.load(ctx)
	if err != nil && ctx.Err() == nil {
		v.opts.Logger.Warn("the key set for tokens cannot be read; the last known keys go on", "err", err)
	}
	return err == nil
}

// load reads the key set and puts it in the place of the last one.
func (v *Verifier) load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	raw, err := v.source.read(ctx)
	if err != nil {
		return fmt.Errorf("read the key set: %w", err)
	}
	keys, err := parseKeys(raw)
	if err != nil {
		return fmt.Errorf("read the key set: %w", err)
	}
	v.keys.Store(&keys)
	v.read.Add(1)
	return nil
}
