package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"cartd/internal/api"
	"cartd/internal/catalog"
)

func TestVoucherIsAddedAsItIsDefinedAndTakenAway(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	a := s.want(s.request("POST", cart+"/vouchers", `{"code":"welcome10"}`), 200, "")
	for path, want := range map[string]string{
		"result.vouchers.0":         `{"applied":true,"code":"WELCOME10","description":"10 % off","id":1,"reason":"","rules":[],"value":153}`,
		"result.totalDiscount":      `{"exVat":122,"incVat":153,"vat":{"25":31}}`,
		"result.totalPrice.incVat":  "1377",
		"mutations.0.mutation.code": "WELCOME10", "mutations.0.mutation.value": "1000", "mutations.0.type": "AddVoucher",
	} {
		if got := a.field(path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if a := s.want(s.request("POST", cart+"/vouchers", `{"code":"WELCOME10"}`), 200, ""); a.field("result.version") != "3" {
		t.Errorf("the same voucher again is version %s, want 3", a.field("result.version"))
	}
	a = s.want(s.request("POST", cart+"/vouchers", `{"code":"FREESHIP"}`), 200, "")
	if a.field("result.vouchers.1.applied") != "false" || a.field("result.vouchers.1.reason") != "The goods must come to 50.00 GBP." || a.field("result.vouchers.1.rules.1") != "minTotal=5000" {
		t.Errorf("voucher %s", a.field("result.vouchers.1"))
	}
	s.want(s.request("DELETE", cart+"/vouchers/3", ""), 404, "voucher_not_found")
	s.want(s.request("DELETE", cart+"/vouchers/x", ""), 404, "voucher_not_found")
	if a := s.want(s.request("DELETE", cart+"/vouchers/1", ""), 200, ""); a.field("result.vouchers.0.id") != "2" || a.field("result.totalPrice.incVat") != "1530" {
		t.Errorf("cart %s", a.field("result"))
	}
}

func TestVoucherThatCannotBeAddedSaysWhy(t *testing.T) {
	s := openShop(t, nil)
	cart := s.newCart()
	a := s.want(s.request("POST", cart+"/vouchers", `{"code":"NOTHING"}`), 422, "unknown_voucher")
	if a.field("errors.0.field") != "code" {
		t.Errorf("errors %s, want code", a.field("errors"))
	}
	for _, body := range []string{`{"code":""}`, `{}`, `{"code":"` + strings.Repeat("x", 65) + `"}`} {
		s.want(s.request("POST", cart+"/vouchers", body), 422, "validation_failed")
	}
	s.want(s.request("POST", cart+"/vouchers", `{"code":5}`), 400, "invalid_request")
	s.want(s.request("POST", "/v1/carts/nobody/vouchers", `{"code":"WELCOME10"}`), 404, "cart_not_found")
	s.want(s.request("GET", cart+"/vouchers", ""), 405, "method_not_allowed")
	for i := range 16 {
		m := fmt.Sprintf(`{"mutations":[{"type":"AddVoucher","payload":{"code":"V%d","kind":"amount","value":1}}]}`, i)
		s.want(s.request("POST", cart+"/mutations", m, asBackend...), 200, "")
	}
	s.want(s.request("POST", cart+"/vouchers", `{"code":"WELCOME10"}`), 422, "validation_failed")
	s.want(s.request("POST", cart+"/items", addLantern), 200, "")
	s.want(s.request("POST", cart+"/checkout", `{"orderId":"o"}`), 200, "")
	s.want(s.request("POST", cart+"/vouchers", `{"code":"NOTHING"}`), 409, "cart_frozen")
	s.want(s.request("DELETE", cart+"/vouchers/1", ""), 409, "cart_frozen")
}

// vouchersDown has no voucher to tell of.
type vouchersDown struct{}

func (vouchersDown) Voucher(context.Context, string) (catalog.Voucher, error) {
	return catalog.Voucher{}, fmt.Errorf("down: %w", catalog.ErrUnavailable)
}

func TestVouchersThatCannotBeLookedUpChangeNothing(t *testing.T) {
	s := openShop(t, func(o *api.Options) { o.Vouchers = vouchersDown{} })
	cart := s.newCart()
	s.want(s.request("POST", cart+"/vouchers", `{"code":"WELCOME10"}`), 502, "catalog_unavailable")
	if got := s.events(cart); got != "1" {
		t.Errorf("%s events, want 1", got)
	}
}
