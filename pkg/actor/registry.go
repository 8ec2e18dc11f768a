package actor

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Mutation is a pointer to a value of a type that was registered with [Register].
type Mutation any

// Meta is what a handler may know about the event beside its mutation. It is the same at every replay.
type Meta struct {
	Time    time.Time // when the event was accepted, UTC, to the millisecond
	Branch  string    // the line of versions that the event is in; "" is main
	Version uint64    // the event's number in its branch, from 1
	ID      uuid.UUID // zero only in events of logs that had no ids
	// Last is when main had changed last before. Zero if it never had, or if another service had changed it.
	Last time.Time
}

// NoChange is what a handler returns when the state is already as the mutation wants it: the mutation counts as
// accepted, and no event is stored.
//
//lint:ignore ST1012 it reads as what the handler says, like fs.SkipDir
var NoChange = errors.New("nothing to change")

// Refusal is the error by which a handler declines a mutation. It travels to the caller as it is, also to another
// machine; every other error of a handler is a bug and reaches the caller as CodeInternal without its text.
type Refusal struct {
	Code    string `json:"code"`            // stable, snake_case, for programs
	Message string `json:"message"`         // one sentence for people
	Field   string `json:"field,omitempty"` // what it is about, as a path into the mutation; "" for the whole
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }

// Refuse returns a *Refusal.
func Refuse(code, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Message: fmt.Sprintf(format, args...)}
}

// MutationRegistry knows the mutations of a state S: how to make an empty one by name, and how to apply it.
// It is filled by [Register] before it is used, and read-only from then on; reads are safe for concurrent use.
type MutationRegistry[S any] struct {
	byName map[string]*mutationType[S]
	byType map[reflect.Type]*mutationType[S]
}

type mutationType[S any] struct {
	name   string
	stored string                         // the type of its events: name, with the schema if that is not 1
	lifts  []func([]byte) ([]byte, error) // from schema 1, 2, …
	create func() Mutation
	read   func([]byte) (Mutation, bool) // what it can of payloads, faster than encoding/json; or nil
	apply  func(*S, Mutation, Meta) error
}

// NewMutationRegistry returns an empty registry.
func NewMutationRegistry[S any]() *MutationRegistry[S] {
	return &MutationRegistry[S]{byName: map[string]*mutationType[S]{}, byType: map[reflect.Type]*mutationType[S]{}}
}

// Register adds the mutation type M under name. The handler is pure: it looks at nothing but its arguments, checks
// everything first and then changes the state, or returns an error and changes nothing. It may keep parts of the
// mutation and must not change it. Register panics when name or M is registered already, or name is "", holds an @ (see
// [MutationRegistry.Lift]) or is "NoChange", which the grain itself uses: mistakes in the program, to be seen when it
// starts.
func Register[S, M any](r *MutationRegistry[S], name string, handler func(*S, *M, Meta) error) {
	t := reflect.TypeFor[*M]()
	if _, taken := r.byName[name]; taken || name == "" || name == typeNoChange || strings.Contains(name, schemaMark) {
		panic(fmt.Sprintf("actor: mutation name %q is empty, reserved or registered twice", name))
	}
	if _, taken := r.byType[t]; taken {
		panic(fmt.Sprintf("actor: mutation type %s registered twice", t))
	}
	mt := &mutationType[S]{
		name:   name,
		stored: name,
		create: func() Mutation { return new(M) },
		apply:  func(s *S, m Mutation, meta Meta) error { return handler(s, m.(*M), meta) },
	}
	r.byName[name], r.byType[t] = mt, mt
}

// Shortcut makes Decode ask read for the mutations registered under name, before encoding/json: read returns what that
// would have made of the payload, or false. It may keep nothing of the payload. Shortcut panics when name is not
// registered.
func (r *MutationRegistry[S]) Shortcut(name string, read func(payload []byte) (Mutation, bool)) {
	mt, ok := r.byName[name]
	if !ok {
		panic(fmt.Sprintf("actor: shortcut for mutation %q, which is not registered", name))
	}
	mt.read = read
}

// Create returns an empty mutation of the type registered under name, and false if there is none.
func (r *MutationRegistry[S]) Create(name string) (Mutation, bool) {
	mt, ok := r.byName[name]
	if !ok {
		return nil, false
	}
	return mt.create(), true
}

// Name returns the name that m's type is registered under, and false if it is not.
func (r *MutationRegistry[S]) Name(m Mutation) (string, bool) {
	mt, ok := r.byType[reflect.TypeOf(m)]
	if !ok {
		return "", false
	}
	return mt.name, true
}

// Apply runs m's handler on state. It returns what the handler returns; after an error the state is unchanged.
func (r *MutationRegistry[S]) Apply(state *S, m Mutation, meta Meta) error {
	mt, ok := r.byType[reflect.TypeOf(m)]
	if !ok {
		return fmt.Errorf("%T: %w", m, ErrUnknownMutation)
	}
	return mt.apply(state, m, meta)
}

// Decode returns the mutation of an event: its type and its payload, a JSON object, which is lifted to the newest
// schema first. Members that the mutation does not have are ignored, so that an older binary reads what a newer one wrote
// with the same schema. The error wraps ErrUnknownMutation, ErrNewerSchema, or says what is wrong with the payload.
func (r *MutationRegistry[S]) Decode(typ string, payload []byte) (Mutation, error) {
	mt, schema := r.find(typ)
	if mt == nil {
		return nil, fmt.Errorf("%q: %w", typ, ErrUnknownMutation)
	}
	payload, err := mt.lift(schema, payload)
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", typ, err)
	}
	if mt.read != nil {
		if m, ok := mt.read(payload); ok {
			return m, nil
		}
	}
	m := mt.create()
	if err := json.Unmarshal(payload, m); err != nil {
		return nil, fmt.Errorf("decode %s: %w", typ, err)
	}
	return m, nil
}

// ErrUnknownMutation means that no handler is registered for a mutation.
var ErrUnknownMutation = errors.New("unknown mutation")
