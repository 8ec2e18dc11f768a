package actor

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestEventIDsDifferAndAreOrderedByTime(t *testing.T) {
	at := time.Date(2026, 11, 21, 4, 47, 3, 276_000_000, time.UTC)
	var ids []string
	seen := map[uuid.UUID]bool{}
	for i := range 1000 {
		id := eventID("key", i+1, at.Add(time.Duration(i)*time.Millisecond))
		if id.Version() != 7 || id.Variant() != uuid.RFC4122 || seen[id] {
			t.Fatalf("id %v, want a new one of version 7", id)
		}
		if sec, nsec := id.Time().UnixTime(); time.Unix(sec, nsec).UnixMilli() != at.UnixMilli()+int64(i) {
			t.Fatalf("id %v is of %v, want %v", id, time.Unix(sec, nsec).UTC(), at)
		}
		seen[id] = true
		ids = append(ids, id.String())
	}
	if !slices.IsSorted(ids) {
		t.Error("ids are not ordered by their time")
	}
	if a, b := eventID("", 0, at), eventID("", 0, at); a == b {
		t.Errorf("%v comes twice in one millisecond", a)
	}
}

func TestEventIDOfAKeyIsAlwaysTheSame(t *testing.T) {
	const want = "270c81f1-d988-8140-8178-37cd3cf38e85" // of the key alone, for ever: the logs hold it
	if got := eventID("click-1", 0, time.Now()).String(); got != want {
		t.Errorf("id %s, want %s", got, want)
	}
}
