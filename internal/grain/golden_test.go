package grain

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"cartd/pkg/actor"
)

var writeGolden = flag.Bool("golden", false, "add what is missing to golden files")

// TestGoldenPayloads: testdata/payloads.jsonl has an event of every mutation with every field it has. Each of them is read,
// and written again byte for byte. A line is never changed: a mutation whose payload changes its meaning gets a lift and
// a line with the next schema.
func TestGoldenPayloads(t *testing.T) {
	goldenPayloads(t, "testdata/payloads.jsonl", Registry(Limits{}), everyMutation())
	goldenPayloads(t, "testdata/payloads-voucher.jsonl", VoucherRegistry(), everyUse())
}

func goldenPayloads[S any](t *testing.T, path string, r *actor.MutationRegistry[S], all []actor.Mutation) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil && !*writeGolden {
		t.Fatal(err)
	}
	have := make(map[string]bool)
	for line := range bytes.Lines(content) {
		var ev struct {
			Type    string          `json:"type"`
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(line, &ev); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		have[ev.Type] = true
		m, err := r.Decode(ev.Type, ev.Payload)
		if err != nil {
			t.Errorf("%s: %v", ev.Type, err)
			continue
		}
		if got, err := AppendPayload(nil, m); err != nil || !bytes.Equal(got, ev.Payload) {
			t.Errorf("%s is written again as\n%s, %v; want\n%s", ev.Type, got, err, ev.Payload)
		}
	}
	for _, m := range all {
		name, _ := r.Name(m)
		if have[name] {
			continue
		}
		full := proto.Clone(m.(proto.Message))
		fillIn(full.ProtoReflect(), 1)
		payload, err := AppendPayload(nil, full)
		if err != nil {
			t.Fatal(err)
		}
		if content = append(content, `{"type":"`+name+`","payload":`+string(payload)+"}\n"...); !*writeGolden {
			t.Errorf("%s has no line for %s; -golden adds it", path, name)
		}
	}
	if *writeGolden {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// fillIn gives every field a value other than its empty one.
func fillIn(m protoreflect.Message, n int64) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		n++
		scalar := func(f protoreflect.FieldDescriptor) protoreflect.Value {
			switch f.Kind() {
			case protoreflect.StringKind:
				return protoreflect.ValueOfString(f.JSONName() + " é<&> \"2\"")
			case protoreflect.BoolKind:
				return protoreflect.ValueOfBool(true)
			case protoreflect.Uint32Kind:
				return protoreflect.ValueOfUint32(math.MaxUint32 - uint32(n))
			case protoreflect.Int32Kind:
				return protoreflect.ValueOfInt32(math.MaxInt32 - int32(n))
			case protoreflect.Uint64Kind:
				return protoreflect.ValueOfUint64(1<<63 + uint64(n))
			case protoreflect.Int64Kind:
				return protoreflect.ValueOfInt64(1<<62 + n)
			case protoreflect.BytesKind:
				return protoreflect.ValueOfBytes([]byte{0, 1, byte(n)})
			}
			panic("no value for a field of kind " + f.Kind().String())
		}
		switch {
		case field.IsMap():
			entry := m.Mutable(field).Map()
			entry.Set(scalar(field.MapKey()).MapKey(), scalar(field.MapValue()))
		case field.IsList() && field.Message() != nil:
			fillIn(m.Mutable(field).List().AppendMutable().Message(), n)
		case field.IsList():
			m.Mutable(field).List().Append(scalar(field))
		case field.Message() != nil:
			fillIn(m.Mutable(field).Message(), n)
		default:
			m.Set(field, scalar(field))
		}
	}
}
