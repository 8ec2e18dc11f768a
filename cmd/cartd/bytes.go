package main

import (
	"fmt"
	"math"

	"github.com/dustin/go-humanize"
)

// bytesFlag is a number of bytes, written like 64MiB, 1GB or 4096.
type bytesFlag uint64

// UnmarshalText is what kong calls.
func (b *bytesFlag) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is no number of bytes like 64MiB", text)
	}
	*b = bytesFlag(n)
	return nil
}
