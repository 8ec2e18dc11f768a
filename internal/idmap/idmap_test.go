package idmap_test

import (
	"errors"
	"testing"

	"pgregory.net/rapid"

	"cartd/internal/idmap"
)

func TestMapHoldsWhatWasSetLast(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m idmap.Map[[3]uint64]
		model := map[idmap.ID][3]uint64{}
		id := rapid.Custom(func(t *rapid.T) idmap.ID { // few of them, near each other
			return idmap.ID{rapid.Byte().Draw(t, "first"), 15: rapid.ByteRange(0, 2).Draw(t, "last")}
		})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				id, v := id.Draw(t, "id"), [3]uint64{rapid.Uint64().Draw(t, "v"), 2, 3}
				m.Set(id, v)
				model[id] = v
			},
			"load": func(t *rapid.T) {
				b := m.Bytes()
				if want := len(model) * idmap.Width[[3]uint64](); len(b) != want {
					t.Fatalf("%d bytes for %d ids, want %d", len(b), len(model), want)
				}
				loaded, err := idmap.Load[[3]uint64](b)
				if err != nil {
					t.Fatal(err)
				}
				m = loaded
			},
			"": func(t *rapid.T) {
				id := id.Draw(t, "other")
				got, ok := m.Get(id)
				if want, is := model[id]; got != want || ok != is {
					t.Fatalf("get %v: got %v, %t; want %v, %t", id, got, ok, want, is)
				}
			},
		})
		for id, want := range model {
			if got, ok := m.Get(id); !ok || got != want {
				t.Fatalf("get %v: got %v, %t; want %v", id, got, ok, want)
			}
		}
	})
}

func TestBytesStayAsTheyAreWhenTheMapGoesOn(t *testing.T) {
	var m idmap.Map[[1]uint64]
	m.Set(idmap.ID{1}, [1]uint64{1})
	first := string(m.Bytes())
	held := m.Bytes()
	m.Set(idmap.ID{0}, [1]uint64{2})
	m.Set(idmap.ID{1}, [1]uint64{3})
	m.Bytes()
	if string(held) != first {
		t.Errorf("bytes that were given out are now %x, they were %x", held, first)
	}
}

func TestLoadRefusesHalfAnEntry(t *testing.T) {
	if _, err := idmap.Load[[1]uint64](make([]byte, 25)); !errors.Is(err, idmap.ErrInvalid) {
		t.Errorf("got %v, want %v", err, idmap.ErrInvalid)
	}
}
