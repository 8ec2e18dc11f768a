package actor_test

import (
	"errors"
	"testing"

	"cartd/pkg/actor"
)

func TestRegisteringTwicePanics(t *testing.T) {
	handler := func(*sum, *add, actor.Meta) error { return nil }
	for name, register := range map[string]func(r *actor.MutationRegistry[sum]){
		"same name": func(r *actor.MutationRegistry[sum]) {
			actor.Register(r, "Add", func(*sum, *reset, actor.Meta) error { return nil })
		},
		"same type":     func(r *actor.MutationRegistry[sum]) { actor.Register(r, "Plus", handler) },
		"no name":       func(r *actor.MutationRegistry[sum]) { actor.Register(r, "", handler) },
		"reserved name": func(r *actor.MutationRegistry[sum]) { actor.Register(r, "NoChange", handler) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			r := actor.NewMutationRegistry[sum]()
			if name != "no name" && name != "reserved name" {
				actor.Register(r, "Add", handler)
			}
			register(r)
		}()
	}
}

func TestCreateAndApplyByName(t *testing.T) {
	r := sums()
	m, ok := r.Create("Add")
	if !ok {
		t.Fatal("no mutation Add")
	}
	m.(*add).N = 3
	var s sum
	if err := r.Apply(&s, m, actor.Meta{}); err != nil || s.total != 3 {
		t.Errorf("error %v, total %d, want 3", err, s.total)
	}
	if name, _ := r.Name(m); name != "Add" {
		t.Errorf("name %q, want Add", name)
	}
	if _, ok := r.Create("Nothing"); ok {
		t.Error("created a mutation that was never registered")
	}
	if err := r.Apply(&s, &unregistered{}, actor.Meta{}); !errors.Is(err, actor.ErrUnknownMutation) {
		t.Errorf("got %v, want ErrUnknownMutation", err)
	}
	if _, err := r.Decode("Add", []byte(`{"N":1,"newer":true}`)); err != nil {
		t.Errorf("a member of a newer version: %v", err)
	}
}
