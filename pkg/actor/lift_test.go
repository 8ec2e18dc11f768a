package actor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"cartd/pkg/actor"
)

// put is a mutation that has had two schemas before.
type put struct{ Grams int }

// scales are sums that also take puts.
func scales() *actor.MutationRegistry[sum] {
	r := sums()
	actor.Register(r, "Put", func(s *sum, m *put, _ actor.Meta) error {
		s.total += m.Grams
		return nil
	})
	r.Lift("Put", 1, func(payload []byte) ([]byte, error) { // kilograms, and nothing said so
		var old struct {
			N int `json:"n"`
		}
		err := json.Unmarshal(payload, &old)
		return fmt.Appendf(nil, `{"amount":%d,"unit":"kg"}`, old.N), err
	})
	r.Lift("Put", 2, func(payload []byte) ([]byte, error) {
		var old struct {
			Amount int    `json:"amount"`
			Unit   string `json:"unit"`
		}
		if err := json.Unmarshal(payload, &old); err != nil {
			return nil, err
		}
		if old.Unit != "kg" {
			return nil, fmt.Errorf("unit %q is unknown", old.Unit)
		}
		return fmt.Appendf(nil, `{"Grams":%d}`, 1000*old.Amount), nil
	})
	return r
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoldenPayloadsOfEverySchemaAreLifted: each schema that there was has a golden payload, and all mean the same.
func TestGoldenPayloadsOfEverySchemaAreLifted(t *testing.T) {
	r := scales()
	for typ, file := range map[string]string{"Put": "Put.v1.json", "Put@2": "Put.v2.json", "Put@3": "Put.v3.json"} {
		before := golden(t, file)
		payload := []byte(string(before))
		m, err := r.Decode(typ, payload)
		if err != nil {
			t.Errorf("%s: %v", typ, err)
			continue
		}
		if got := *m.(*put); got.Grams != 3000 {
			t.Errorf("%s: got %+v, want 3000 grams", typ, got)
		}
		if string(payload) != string(before) {
			t.Errorf("%s: the payload was changed to %s", typ, payload)
		}
	}
	newest, err := json.Marshal(&put{3000})
	if err != nil || string(newest) != string(golden(t, "Put.v3.json")) {
		t.Errorf("written today: %s, %v; want what the newest golden payload is", newest, err)
	}
}

func TestTypesThatNameNoSchemaAreUnknown(t *testing.T) {
	for _, typ := range []string{"Put@", "Put@1", "Put@0", "Put@-2", "Put@02", "Put@2@3", "Put@x", "@2", "Put2", "put@2", "Put@99999999999999999999"} {
		if m, err := scales().Decode(typ, []byte(`{}`)); !errors.Is(err, actor.ErrUnknownMutation) {
			t.Errorf("%q: got %v, %v; want ErrUnknownMutation", typ, m, err)
		}
	}
	if _, err := scales().Decode("Put@4", []byte(`{}`)); !errors.Is(err, actor.ErrNewerSchema) {
		t.Errorf("got %v, want ErrNewerSchema", err)
	}
	if _, err := scales().Decode("Add@2", []byte(`{}`)); !errors.Is(err, actor.ErrNewerSchema) {
		t.Errorf("of a mutation without lifts: got %v, want ErrNewerSchema", err)
	}
}

func TestLiftsOutOfOrderPanic(t *testing.T) {
	same := func(payload []byte) ([]byte, error) { return payload, nil }
	for name, lift := range map[string]func(r *actor.MutationRegistry[sum]){
		"of nothing":   func(r *actor.MutationRegistry[sum]) { r.Lift("None", 1, same) },
		"twice":        func(r *actor.MutationRegistry[sum]) { r.Lift("Put", 2, same) },
		"one left out": func(r *actor.MutationRegistry[sum]) { r.Lift("Put", 4, same) },
		"name with a schema": func(r *actor.MutationRegistry[sum]) {
			actor.Register(r, "Put@2", func(*sum, *unregistered, actor.Meta) error { return nil })
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			lift(scales())
		}()
	}
}

// A log with events of all schemas is replayed, and goes on with the newest one; what is stored stays as it is.
func TestEventsOfOldSchemasAreReplayedAndStayAsTheyAre(t *testing.T) {
	h := newHost(t, func(c *actor.Config[sum]) { c.Registry = scales() })
	h.log.put("a",
		actor.Event{Type: "Put", Payload: golden(t, "Put.v1.json")},
		actor.Event{Type: "Put@2", Payload: golden(t, "Put.v2.json")},
		actor.Event{Type: "Put@3", Payload: golden(t, "Put.v3.json")},
		actor.Event{Type: "Put@2", Payload: []byte(`{"amount":1,"unit":"stone"}`)}) // cannot be lifted: skipped and told
	reply := h.ask(t, "a", required(&put{500}))
	if got := string(reply.View); got != strconv.Itoa(9500) || reply.Outcomes[0].Type != "Put" {
		t.Errorf("got %s, type %s; want 9500, and the mutation's name without a schema", got, reply.Outcomes[0].Type)
	}
	if len(h.skipped) != 1 || !strings.Contains(h.skipped[0].Error(), "stone") {
		t.Errorf("skipped: %v, want the one that cannot be lifted", h.skipped)
	}
	var stored []string
	for _, ev := range h.log.events("a") {
		stored = append(stored, ev.Type+" "+string(ev.Payload))
	}
	want := `Put {"n":3}, Put@2 {"amount":3,"unit":"kg"}, Put@3 {"Grams":3000}, Put@2 {"amount":1,"unit":"stone"}, Put@3 {"Grams":500}`
	if got := strings.Join(stored, ", "); got != want {
		t.Errorf("stored is\n%s, want\n%s", got, want)
	}
}

func TestPayloadOfANewerSchemaIsRefusedNotSkipped(t *testing.T) {
	h := newHost(t, func(c *actor.Config[sum]) { c.Registry = scales() })
	h.log.put("a", actor.Event{Type: "Add", Payload: []byte(`{"N":1}`)}, actor.Event{Type: "Put@4", Payload: []byte(`{"Tons":1}`)},
		actor.Event{Type: "Add", Payload: []byte(`{"N":1}`)})
	if r := h.ask(t, "a", required(&add{1})); code(r) != actor.CodeInternal {
		t.Errorf("got %+v, want a refusal: the grain cannot be loaded", r)
	}
	if n := len(h.log.events("a")); n != 3 {
		t.Errorf("%d events in the log, want the 3 that were there", n)
	}
}
