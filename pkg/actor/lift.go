package actor

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrNewerSchema means that an event's payload has a schema that this program does not know: a newer one has written it.
// Its grain is not activated, because what the event says is not known, and is no damage.
var ErrNewerSchema = errors.New("payload has a newer schema than this program knows")

// schemaMark stands between the name and the schema of an event's type. Schema 1 has neither: "AddItem", "AddItem@2".
const schemaMark = "@"

// Lift registers the step by which payloads of the mutation name come from one schema to the next. The first schema of a
// mutation is 1; the newest one, which its type decodes and which is written, is one more than its last lift's from.
//
// lift is pure: it makes the new payload, a JSON object, from the old one and from nothing else, and does not change
// the old one. It is applied whenever an old event is read; what is stored stays as it is, so that a lift is never taken
// out again. Lifts are registered in order, from 1 on, before the registry is used; Lift panics otherwise, and when there is
// no such mutation.
func (r *MutationRegistry[S]) Lift(name string, from int, lift func(payload []byte) ([]byte, error)) {
	mt, ok := r.byName[name]
	if !ok || from != len(mt.lifts)+1 {
		panic(fmt.Sprintf("actor: lift of mutation %q from schema %d: not registered, or out of order", name, from))
	}
	mt.lifts = append(mt.lifts, lift)
	mt.stored = name + schemaMark + strconv.Itoa(from+1)
}

// find returns the mutation that an event's type names, and the schema of its payload; nil if there is none.
func (r *MutationRegistry[S]) find(typ string) (mt *mutationType[S], schema int) {
	if mt, ok := r.byName[typ]; ok {
		return mt, 1
	}
	name, digits, _ := strings.Cut(typ, schemaMark)
	schema, err := strconv.Atoi(digits)
	if err != nil || schema < 2 || strconv.Itoa(schema) != digits {
		return nil, 0
	}
	return r.byName[name], schema
}

// lift brings a payload to the newest schema.
func (mt *mutationType[S]) lift(schema int, payload []byte) ([]byte, error) {
	if newest := len(mt.lifts) + 1; schema > newest {
		return nil, fmt.Errorf("%w: %d, the newest is %d", ErrNewerSchema, schema, newest)
	}
	for from := schema; from <= len(mt.lifts); from++ {
		var err error
		if payload, err = mt.lifts[from-1](payload); err != nil {
			return nil, fmt.Errorf("lift from schema %d: %w", from, err)
		}
	}
	return payload, nil
}
