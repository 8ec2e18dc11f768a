package api_test

import "testing"

func TestABoundCartGoesToAnotherUserOnlyThroughTheBackend(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	if a := s.want(s.request("PUT", cart+"/user", `{"userId":"u-1"}`), 200, ""); a.field("result.userId") != "u-1" {
		t.Errorf("user %s", a.field("result.userId"))
	}
	if a := s.want(s.request("PUT", cart+"/user", `{"userId":"u-1"}`), 200, ""); a.field("result.version") != "2" {
		t.Errorf("the same user again is version %s, want 2", a.field("result.version"))
	}
	s.want(s.request("PUT", cart+"/user", `{"userId":"u-2"}`), 409, "user_bound")
	s.want(s.request("PUT", cart+"/user", `{"userId":"u-2"}`, "Authorization", "Bearer wrong"), 409, "user_bound")
	s.want(s.request("PUT", cart+"/user", `{"userId":""}`), 422, "validation_failed")
	s.want(s.request("PUT", cart+"/user", `{}`), 422, "validation_failed")
	s.want(s.request("PUT", cart+"/user", `{"userId":"u-2","rebind":true}`), 400, "invalid_request")
	if a := s.want(s.request("PUT", cart+"/user", `{"userId":"u-2"}`, asBackend...), 200, ""); a.field("result.userId") != "u-2" {
		t.Errorf("user %s", a.field("result.userId"))
	}
	s.want(s.request("PUT", "/v1/carts/nobody/user", `{"userId":"u-1"}`), 404, "cart_not_found")
}

func TestSubscriptionDetailsAreKeptAsTheyCame(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	a := s.want(s.request("PUT", cart+"/subscription-details", `{"id":"s-1","offeringCode":"o","signingType":"bankid","data":{ "b": [1, 2.50], "a":"<" }}`), 200, "")
	if got, want := a.field("result.subscriptionDetails"), `{"s-1":{"data":{"a":"\u003c","b":[1,2.50]},"id":"s-1","offeringCode":"o","signingType":"bankid"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if a := s.want(s.request("PUT", cart+"/subscription-details", `{"offeringCode":"o","signingType":""}`), 200, ""); a.field("result.version") != "3" {
		t.Errorf("version %s, want details of their own", a.field("result.version"))
	}
	for body, code := range map[string]string{
		`{"id":"s-1","offeringCode":5}`:        "invalid_request",
		`{"id":"s-1","data":{"a":1,"a":2}}`:    "invalid_request",
		`{"id":"s-1","data":}`:                 "invalid_request",
		`{"id":"s-1","code":"x"}`:              "invalid_request",
		`{"id":"a\nb","data":null}`:            "validation_failed",
		`{"id":"s-1","offeringCode":"\u0000"}`: "validation_failed",
	} {
		if a := s.request("PUT", cart+"/subscription-details", body); a.field("code") != code {
			t.Errorf("%s: %d %s, want %s", body, a.status, a.body, code)
		}
	}
}
