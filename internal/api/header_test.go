package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHeadersThatAreSetShareNoValues(t *testing.T) {
	x := &exchange{answer: recorder{ResponseWriter: httptest.NewRecorder()}}
	x.answer.of = x
	want := http.Header{}
	for i := range len(x.fields) + 2 { // also when there is no room left
		name := fmt.Sprintf("X-%d", i)
		setHeader(&x.answer, name, "set")
		x.answer.Header().Add(name, "added")
		want[name] = []string{"set", "added"}
	}
	if diff := cmp.Diff(want, x.answer.Header()); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}
