package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const given = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\nEtag: \"main-7\"\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n{\"result\":1}"

func serve(t *testing.T) *httptest.Server {
	t.Helper()
	a, err := readAnswer(strings.NewReader(given))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return s
}

func post(t *testing.T, s *httptest.Server, body string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Post(s.URL+"/v1/carts/c/items", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestAddGetsTheGivenAnswerWithADateOfItsOwn(t *testing.T) {
	resp, body := post(t, serve(t), `{"sku":"a","quantity":1}`)
	if resp.StatusCode != http.StatusOK || body != `{"result":1}` || resp.Header.Get("Etag") != `"main-7"` {
		t.Errorf("answer %d %v %q, want the given one", resp.StatusCode, resp.Header, body)
	}
	if date := resp.Header.Get("Date"); date == "" || strings.Contains(date, "1970") {
		t.Errorf("Date %q, want the present", date)
	}
}

func TestWhatIsNoAddIsRefused(t *testing.T) {
	s := serve(t)
	for _, body := range []string{"", "{", `{"sku":"a"}`, `{"quantity":1}`, `{"sku":1,"quantity":1}`} {
		if resp, _ := post(t, s, body); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%q: status %d, want 400", body, resp.StatusCode)
		}
	}
}

func TestAnswerThatIsCutIsAnError(t *testing.T) {
	for _, n := range []int{0, 5, len(given) - 1} {
		if _, err := readAnswer(strings.NewReader(given[:n])); err == nil {
			t.Errorf("answer cut to %d bytes is accepted, want an error", n)
		}
	}
}
