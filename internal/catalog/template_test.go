package catalog

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTemplateThatIsNoUsableURLIsRefused(t *testing.T) {
	for _, tc := range []struct{ name, source, want string }{
		{"no place for the SKU", "http://shop/products?country={country}", "no place for {sku}"},
		{"another scheme", "ftp://shop/{sku}", "scheme must be http or https"},
		{"SKU in the host", "http://{sku}.shop/x", "host cannot depend"},
		{"SKU in the port", "http://shop:{sku}/x", "host cannot depend"},
		{"no host", "http:///{sku}", "no host"},
		{"only a port", "http://:80/{sku}", "no host"},
		{"a fragment", "http://shop/{sku}#top", "fragment"},
		{"another place", "http://shop/{sku}/{lang}", "{lang} is neither {sku} nor {country}"},
		{"the place of deliveries", "http://shop/{provider}", "{provider} is neither"},
		{"not closed", "http://shop/{sku}/{country", "{ without }"},
		{"not opened", "http://shop/{sku}/country}", "} without {"},
		{"a blank", "http://shop/a b/{sku}", "byte 13 must be escaped"},
		{"a line break", "http://shop/{sku}\r\nHost: evil", "must be escaped"},
		{"a bad escape", "http://shop/%zz/{sku}", "not a valid URL"},
		{"dot segments", "http://shop/a/../{sku}", "dot segment"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := Open(t.Context(), tc.source, Options{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Open is %v, %v, want an error with %q", p, err, tc.want)
			}
		})
	}
}

func TestTemplateErrorShowsNoSecret(t *testing.T) {
	_, err := Open(t.Context(), "https://shop:hunter2@shop.example/%zz/{sku}?key=hunter2", Options{})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v, want one without the password", err)
	}
}

func TestTemplateEscapesForThePlaceThatAValueStandsIn(t *testing.T) {
	tmpl, err := parseTemplate("https://shop.example/p/{sku}.json?c={country}&again={sku}", "sku")
	if err != nil {
		t.Fatal(err)
	}
	for sku, want := range map[string]string{
		"85123A":      "https://shop.example/p/85123A.json?c=GB&again=85123A",
		"a/b?c#d":     "https://shop.example/p/a%2Fb%3Fc%23d.json?c=GB&again=a%2Fb%3Fc%23d",
		"a b&c=d+e%f": "https://shop.example/p/a%20b&c=d+e%25f.json?c=GB&again=a+b%26c%3Dd%2Be%25f",
		"å{sku}":      "https://shop.example/p/%C3%A5%7Bsku%7D.json?c=GB&again=%C3%A5%7Bsku%7D",
	} {
		u, err := tmpl.expand(key{sku, "GB"})
		if err != nil || u.String() != want {
			t.Errorf("URL for %q is %v, %v, want %s", sku, u, err, want)
		}
	}
	for _, sku := range []string{"../x", "a/../../x", `a\..\x`, "./x"} {
		if u, err := tmpl.expand(key{sku, "GB"}); !errors.Is(err, errNotFound) {
			t.Errorf("URL for %q is %v, %v, want errNotFound", sku, u, err)
		}
	}
}

func TestNoSKULeavesItsPlaceInThePath(t *testing.T) {
	tmpl, err := parseTemplate("http://shop.example/products/{sku}?country={country}", "sku")
	if err != nil {
		t.Fatal(err)
	}
	sku := rapid.OneOf(rapid.StringN(1, 20, 64), rapid.StringOfN(rapid.SampledFrom([]rune(`./\?#%2FEe&=;:@+ a{}`)), 1, 20, 64))
	rapid.Check(t, func(t *rapid.T) {
		s := sku.Draw(t, "sku")
		if checkKey(s) != nil {
			return
		}
		u, err := tmpl.expand(key{s, "GB"})
		if errors.Is(err, errNotFound) {
			return
		}
		if err != nil {
			t.Fatalf("URL for %q: %v, want one or errNotFound", s, err)
		}
		// What a server sees: host, path and query of the written URL, read again.
		seen, err := url.Parse(u.String())
		if err != nil {
			t.Fatal(err)
		}
		segment, ok := strings.CutPrefix(seen.EscapedPath(), "/products/")
		decoded, err := url.PathUnescape(segment)
		if !ok || strings.Contains(segment, "/") || err != nil || decoded != s {
			t.Errorf("path for %q is %q, want it as one segment below /products/", s, seen.EscapedPath())
		}
		if seen.Host != "shop.example" || seen.RawQuery != "country=GB" || seen.Fragment != "" {
			t.Errorf("URL for %q is %s, want host and query untouched", s, seen)
		}
	})
}
