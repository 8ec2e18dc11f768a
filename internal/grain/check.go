package grain

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"cartd/pkg/actor"
)

// Codes of the refusals; the HTTP contract lists them.
const (
	codeNotFound         = "cart_not_found"
	codeExists           = "cart_exists"
	codeFrozen           = "cart_frozen"
	codeOrdered          = "cart_ordered"
	codeMerged           = "cart_merged"
	codeDeleted          = "cart_deleted"
	codeExpired          = "cart_expired"
	codeNotExpired       = "cart_not_expired" // for the sweeper alone
	codeEmpty            = "cart_empty"
	codeNotInCheckout    = "not_in_checkout"
	codeUserBound        = "user_bound"
	codeTotalChanged     = "expected_total_changed"
	codeItemNotFound     = "item_not_found"
	codeDeliveryNotFound = "delivery_not_found"
	codeVoucherNotFound  = "voucher_not_found"
	codeInvalid          = "validation_failed"
	codeBranchExists     = "branch_exists"
)

// Bounds of what a mutation may carry, in bytes unless said otherwise.
const (
	maxPrice            = 100_000_000_000 // minor units, of one unit
	maxSKUBytes         = 64
	maxNameBytes        = 512
	maxTextBytes        = 256
	maxLongTextBytes    = 2048 // images, disclaimers
	maxStoreBytes       = 64
	maxUserBytes        = 128
	maxOrderBytes       = 64
	maxStatusBytes      = 64
	maxReservationBytes = 64
	maxAttributes       = 32
	maxKeyBytes         = 64
	maxSubscriptions    = 64
	maxDataBytes        = 16 << 10
	maxVouchers         = 16
	maxVoucherSKUs      = 500
	maxTakenOver        = 1000
	maxSettlements      = 256
)

// invalid refuses a mutation because of one of its fields.
func invalid(field, format string, args ...any) error {
	r := actor.Refuse(codeInvalid, format, args...)
	r.Field = field
	return r
}

// field is a text of a mutation with the bound of its length.
type field struct {
	name, value string
	max         int
}

// checkTexts returns nil if each text is within its bound and is text: UTF-8 without NUL, which some stores cannot
// keep. Line breaks and the like may be in it.
func checkTexts(fields ...field) error {
	for _, f := range fields {
		if len(f.value) > f.max {
			return invalid(f.name, "%s must not be longer than %d bytes.", f.name, f.max)
		}
		if !utf8.ValidString(f.value) || strings.IndexByte(f.value, 0) >= 0 {
			return invalid(f.name, "%s must be UTF-8 text without NUL.", f.name)
		}
	}
	return nil
}

// checkWord returns nil if the text is not empty, within its bound, and all of it can be seen: it names something.
func checkWord(f field) error {
	if f.value == "" {
		return invalid(f.name, "%s is required.", f.name)
	}
	if err := checkTexts(f); err != nil {
		return err
	}
	if strings.ContainsFunc(f.value, unicode.IsControl) || strings.TrimSpace(f.value) == "" {
		return invalid(f.name, "%s must be visible text without control characters.", f.name)
	}
	return nil
}

// checkPrice returns nil if price and tax are within bounds.
func checkPrice(price, tax int64) error {
	if price < 0 || price > maxPrice {
		return invalid("price", "price must be between 0 and %d minor units.", int64(maxPrice))
	}
	if tax < 0 || tax > fullRate {
		return invalid("tax", "tax must be between 0 and %d hundredths of a per cent.", fullRate)
	}
	return nil
}

// checkCountry returns s in upper case if it is two letters, or "" if it is empty.
func checkCountry(name, s string) (string, error) {
	if s == "" {
		return "", nil
	}
	if len(s) != 2 || !letter(s[0]) || !letter(s[1]) {
		return "", invalid(name, "%s must be two letters.", name)
	}
	return strings.ToUpper(s), nil // which returns s itself when there is nothing to do
}

func letter(b byte) bool { return capital(b &^ 0x20) }

func capital(b byte) bool { return 'A' <= b && b <= 'Z' }

// checkCurrency returns nil if s is empty or looks like a code of ISO 4217.
func checkCurrency(s string) error {
	if s == "" {
		return nil
	}
	if len(s) == 3 && capital(s[0]) && capital(s[1]) && capital(s[2]) {
		return nil
	}
	return invalid("currency", "currency must be three capital letters.")
}
