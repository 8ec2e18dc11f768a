package eventlog

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestPayloadsOfSoundCommitsAreNotRead(t *testing.T) {
	commit := func(sound bool, typ, payload string) *Commit {
		return &Commit{Sound: sound, Events: []Event{{ID: uuid.UUID{1}, Time: time.UnixMilli(1), Type: typ, Payload: []byte(payload)}}}
	}
	for _, payload := range []string{`{"a": 1}`, `{`, `[]`, "{\"\xff\":1}", ``} {
		if err := commit(false, "AddItem", payload).Check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("payload %q: got %v, want %v", payload, err, ErrInvalid)
		}
	}
	if err := commit(true, "AddItem", `{"a": 1}`).Check(); err != nil {
		t.Errorf("sound commit: got %v, want its payload not read", err)
	}
	if err := commit(true, "", `{}`).Check(); !errors.Is(err, ErrInvalid) {
		t.Errorf("sound commit without a type: got %v, want %v", err, ErrInvalid)
	}
}
