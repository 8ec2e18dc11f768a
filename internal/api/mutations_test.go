package api_test

import (
	"testing"

	"cartd/internal/grain"
	"cartd/pkg/messages"
)

// A mutation whose members are all left out is refused for what is missing, if at all, and never as JSON that does not fit.
func TestEveryMutationTakesAnEmptyPayload(t *testing.T) {
	s := openShop(t, nil)
	registry := grain.Registry(grain.Limits{})
	asked := 0
	all := messages.File_messages_proto.Messages()
	for i := range all.Len() {
		name := string(all.Get(i).Name())
		if _, ok := registry.Create(name); !ok || grain.Settles(name) {
			continue
		}
		asked++
		cart := s.newCart()
		s.request("POST", cart+"/items", `{"sku":"85123A","quantity":1}`)
		if a := s.request("POST", cart+"/mutations", `{"mutations":[{"type":"`+name+`","payload":{}}]}`, asBackend...); a.status == 400 || a.status >= 500 {
			t.Errorf("%s with the payload {}: %d %s", name, a.status, a.body)
		}
	}
	if asked < 10 {
		t.Errorf("%d mutations were asked for", asked)
	}
}

func TestMutationWithoutMembersTakesNone(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.request("POST", cart+"/items", `{"sku":"85123A","quantity":1}`)
	s.want(s.request("POST", cart+"/mutations", `{"mutations":[{"type":"ClearCart","payload":{"sku":"85123A"}}]}`, asBackend...), 400, "invalid_request")
	s.want(s.request("POST", cart+"/mutations", `{"mutations":[{"type":"ClearCart","payload":null}]}`, asBackend...), 400, "invalid_request")
	a := s.want(s.request("POST", cart+"/mutations", `{"mutations":[{"type":"ClearCart","payload":{}}]}`, asBackend...), 200, "")
	if a.field("result.items") != "[]" {
		t.Errorf("ClearCart leaves %s", a.field("result.items"))
	}
}
