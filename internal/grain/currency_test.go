package grain

import "testing"

func TestMoneyIsShownWithThePlacesOfItsCurrency(t *testing.T) {
	for _, tc := range []struct {
		n        int64
		currency string
		want     string
	}{
		{2000, "GBP", "20.00 GBP"}, {5, "GBP", "0.05 GBP"}, {2000, "JPY", "2000 JPY"}, {1250, "BHD", "1.250 BHD"},
		{7, "BHD", "0.007 BHD"}, {12345, "CLF", "1.2345 CLF"}, {2000, "", "2000"}, {maxMoney, "KWD", "9007199254740.991 KWD"},
	} {
		if got := string(appendMoney(nil, tc.n, tc.currency)); got != tc.want {
			t.Errorf("%d %s: got %s, want %s", tc.n, tc.currency, got, tc.want)
		}
	}
}
