// Package identity says who the bearer of a JSON Web Token is.
//
// A token counts if it is signed with an asymmetric algorithm by a key of the issuer's key set (JWKS), has a subject and
// an expiry that is not over, and names the issuer and the audience that are asked for. Symmetric algorithms and "none"
// are never taken, nor symmetric keys: who knows a public key must not be able to sign with it.
//
// The key set is a file or an http(s) URL. It is read again every quarter of an hour, and when a token names a key that
// it does not have, at most once in ten seconds; while that fails the last known keys go on.
//
//	v, err := identity.Open(ctx, "https://login.example/jwks.json", identity.Options{Issuer: "https://login.example", Audience: []string{"shop"}})
//	...
//	defer v.Close()
//	user, err := v.Subject(ctx, token)
package identity
