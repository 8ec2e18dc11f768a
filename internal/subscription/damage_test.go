package subscription_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"cartd/internal/eventlog/memlog"
	"cartd/internal/subscription"
)

// Whatever has become of the database: cartd starts, and either has the subscription or says that it cannot be read.
func TestDatabaseThatIsDamagedOrCutOffStopsNobody(t *testing.T) {
	dir, log := t.TempDir(), memlog.New()
	start := func(path string) *subscription.Manager {
		return subscription.Open(path, subscription.Options{Log: log, Event: appendEvent})
	}
	path := filepath.Join(dir, "whole.db")
	m := start(path)
	if _, _, err := m.Create(subscription.Definition{Name: "mail"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	try := func(b []byte) {
		tries++
		path := filepath.Join(dir, fmt.Sprint(tries)) // bbolt may keep one open that it cannot read
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		m := start(path)
		m.List()  //nolint:errcheck // it may or may not be readable
		m.Close() //nolint:errcheck
	}
	const page = 4096
	for at := 0; at < len(whole); at += page {
		try(whole[:at])
		for field := range 16 { // of its header, and of its first element
			b := append([]byte(nil), whole...)
			b[at+2*field] ^= 0xff
			b[at+2*field+1] ^= 0xff
			try(b)
		}
	}
}
