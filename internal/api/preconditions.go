package api

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxKeyBytes bounds an Idempotency-Key.
const maxKeyBytes = 255

// idempotencyKey returns the request's key, "" if it has none.
func idempotencyKey(r *http.Request) (string, error) {
	values, ok := r.Header["Idempotency-Key"]
	if !ok {
		return "", nil
	}
	if len(values) != 1 {
		return "", fault("invalid_request", "Idempotency-Key was sent more than once")
	}
	key := values[0]
	if key == "" || len(key) > maxKeyBytes {
		return "", fault("invalid_request", "Idempotency-Key must have 1 to %d characters", maxKeyBytes)
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return "", fault("invalid_request", "Idempotency-Key may hold visible ASCII characters only")
		}
	}
	return key, nil
}

// versionTag is what the entity tag of a cart says.
type versionTag struct {
	branch  string // "" is main
	version uint64
}

// etag names a version of a branch, "" for main.
func etag(branch string, version uint64) string {
	if branch == "" {
		branch = mainBranch
	}
	return `"` + branch + `-` + strconv.FormatUint(version, 10) + `"`
}

// parseETag reads what etag writes; anything else names a version that there never is. A branch may have a - in its name,
// and no version has.
func parseETag(tag string) versionTag {
	at := max(1, strings.LastIndexByte(tag, '-'))
	branch, err := parseBranch(tag[1:at])
	version, versionErr := strconv.ParseUint(strings.Trim(tag[at:], `-"`), 10, 64)
	if err != nil || versionErr != nil || etag(branch, version) != tag {
		return versionTag{version: noVersion}
	}
	return versionTag{branch, version}
}

// noVersion is a version that no cart is ever at.
const noVersion = math.MaxUint64

// ifMatch returns the version that a branch must be at; nil if the request does not say. A tag that is not ours
// matches no version, as RFC 9110, section 13.1.1, wants it: weak ones included.
func ifMatch(r *http.Request) (*versionTag, error) {
	tags, err := entityTags(r, "If-Match")
	if err != nil || tags == nil {
		return nil, err
	}
	if len(tags) > 1 {
		return nil, fault("invalid_request", "If-Match takes one entity tag")
	}
	if tags[0] == "*" {
		return nil, nil // that the cart exists is asked of every change
	}
	tag := parseETag(tags[0])
	return &tag, nil
}

// expect makes If-Match a condition of the command: it may name a version of one of the branches. What names another
// one matches nothing.
func (c *change) expect(branches ...string) {
	if c.tag == nil {
		return
	}
	tag := *c.tag
	if !slices.Contains(branches, tag.branch) {
		tag = versionTag{branches[0], noVersion}
	}
	c.cmd.IfBranch, c.cmd.IfVersion = tag.branch, &tag.version
}

// ifNoneMatch reports whether the client has what is tagged already (RFC 9110, section 13.1.2: a weak comparison).
func ifNoneMatch(r *http.Request, present string) (bool, error) {
	tags, err := entityTags(r, "If-None-Match")
	if err != nil {
		return false, err
	}
	for _, tag := range tags {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == present {
			return true, nil
		}
	}
	return false, nil
}

// entityTags splits a header that lists entity tags; nil if it was not sent.
func entityTags(r *http.Request, header string) ([]string, error) {
	values, ok := r.Header[header]
	if !ok {
		return nil, nil
	}
	var tags []string
	for part := range strings.SplitSeq(strings.Join(values, ","), ",") {
		tag := strings.TrimSpace(part)
		quoted := strings.TrimPrefix(tag, "W/")
		if tag != "*" && (len(quoted) < 2 || quoted[0] != '"' || quoted[len(quoted)-1] != '"') {
			return nil, fault("invalid_request", `%s must hold entity tags like "main-4"`, header)
		}
		tags = append(tags, tag)
	}
	return tags, nil
}

// wantsMinimal reports whether the client prefers an answer without the cart (RFC 7240).
func wantsMinimal(r *http.Request) bool {
	for _, value := range r.Header["Prefer"] {
		for part := range strings.SplitSeq(value, ",") {
			preference, _, _ := strings.Cut(part, ";") // parameters do not matter
			name, word, _ := strings.Cut(preference, "=")
			if strings.EqualFold(strings.TrimSpace(name), "return") && strings.Trim(word, " \t\"") == "minimal" {
				return true
			}
		}
	}
	return false
}
