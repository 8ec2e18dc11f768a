//go:build unix

package main

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestEveryFlagHasAnEnvironmentVariable(t *testing.T) {
	t.Parallel()
	flags := regexp.MustCompile(`(?m)^ {6}--([a-z-]+)`)
	for _, command := range []string{"serve", "load"} {
		c := run(t, nil, command, "--help")
		c.wantExit(0)
		help := c.stdout.String()
		names := flags.FindAllStringSubmatch(help, -1)
		if len(names) < 4 {
			t.Errorf("%s --help names %d flags, want all of them:\n%s", command, len(names), help)
		}
		for _, name := range names {
			env := "($CARTD_" + strings.ToUpper(strings.ReplaceAll(name[1], "-", "_")) + ")"
			if !strings.Contains(help, env) {
				t.Errorf("%s --help does not have %s for --%s", command, env, name[1])
			}
		}
	}
}

func TestServeIsTheDefaultAndTakesItsFlagsFromTheEnvironment(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := attach(t, run(t, []string{
		"CARTD_LISTEN=127.0.0.1:0", "CARTD_OPS_LISTEN=127.0.0.1:0", "CARTD_DATA=" + data, "CARTD_LOG_FORMAT=json",
		"CARTD_BACKEND_TOKEN=" + token, "CARTD_MAX_LINES=1", "CARTD_MAX_QUANTITY=2", "CARTD_MAX_ITEMS=2", "CARTD_MAX_BODY=1KiB",
		"CARTD_CURRENCY=SEK", "CARTD_LOW_DISK=0", "CARTD_TAX_ROUNDING=half-up", "CARTD_TAX_LEVEL=unit", "CARTD_CHECKOUT_TTL=90s",
	}), data)
	s.do(t, http.StatusCreated, "POST", "/v1/carts", `{"id":"c"}`)
	if body := s.do(t, http.StatusOK, "GET", "/v1/carts/c", "").body; !strings.Contains(string(body), `"currency":"SEK"`) {
		t.Errorf("cart is %s, want the currency SEK", body)
	}
	s.add(t, "c", "A")
	s.do(t, http.StatusOK, "POST", "/v1/carts/c/checkout", `{"orderId":"o"}`)
	s.do(t, http.StatusOK, "DELETE", "/v1/carts/c/checkout", "")
	events := string(s.do(t, http.StatusOK, "GET", "/v1/carts/c/events", "").body)
	for _, want := range []string{`"taxRounding":"half-up","taxLevel":"unit"`, `"ttlMillis":90000`} {
		if !strings.Contains(events, want) {
			t.Errorf("events are %s, want %s in them", events, want)
		}
	}
	for name, body := range map[string]string{
		"lines":    addItem("B", 1, 100, ""),
		"quantity": addItem("A", 2, 100, ""),
		"items":    `{"mutations":[{"type":"ClearCart"},{"type":"ClearCart"},{"type":"ClearCart"}]}`,
	} {
		a := s.do(t, http.StatusUnprocessableEntity, "POST", "/v1/carts/c/mutations", body)
		if wantProblem(t, a, http.StatusUnprocessableEntity, "validation_failed"); t.Failed() {
			t.Fatalf("beyond the limit of %s", name)
		}
	}
	s.do(t, http.StatusRequestEntityTooLarge, "POST", "/v1/carts/c/mutations", addItem("A", 1, 1, strings.Repeat("x", 1<<10)))
}

func TestFlagsThatMakeNoSenseGiveOneClearLine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		args []string
		env  string
		want string
	}{
		{args: []string{"--nonsense"}, want: "unknown flag --nonsense"},
		{args: []string{"serve", "--nonsense"}, want: "unknown flag --nonsense"},
		{args: []string{"nonsense"}, want: "nonsense"},
		{args: []string{"--low-disk=nonsense"}, want: `--low-disk: "nonsense" is no number of bytes like 64MiB`},
		{args: []string{"--low-disk=-1"}, want: "--low-disk"},
		{env: "CARTD_LOW_DISK=8EiB", want: "CARTD_LOW_DISK"},
		{args: []string{"--idle=soon"}, want: "--idle"},
		{args: []string{"--idle=-1s"}, want: "--idle: -1s must be positive"},
		{args: []string{"--request-timeout=0s"}, want: "--request-timeout: 0s must be positive"},
		{args: []string{"--shutdown-timeout=-1s"}, want: "--shutdown-timeout"},
		{args: []string{"--max-items=0"}, want: "--max-items: 0 must be at least 1"},
		{args: []string{"--max-body=0"}, want: "--max-body"},
		{args: []string{"--max-lines=-1"}, want: "--max-lines"},
		{args: []string{"--max-quantity=0"}, want: "--max-quantity"},
		{args: []string{"--max-events=0"}, want: "--max-events"},
		{args: []string{"--currency=pounds"}, want: `--currency: "pounds" is not three capital letters`},
		{args: []string{"--durability=never"}, want: "--durability"},
		{args: []string{"--store=memory"}, want: "--store"},
		{args: []string{"--log-level=loud"}, want: "--log-level"},
		{env: "CARTD_LISTEN=", want: `--listen: "" is no address`},
		{env: "CARTD_OPS_LISTEN=", want: `--ops-listen: "" is no address`}, // it would be every interface of the machine
		{args: []string{"--listen=127.0.0.1"}, want: "--listen"},
		{env: "CARTD_DATA=", want: "--data: a directory is needed"},
		{args: []string{"--catalog=/nowhere/products.json"}, want: "open the catalogue: "},
		{args: []string{"--catalog=http://shop.example/products"}, want: "no place for {sku}"},
		{args: []string{"--deliveries=/nowhere/deliveries.json"}, want: "open the delivery options: "},
		{args: []string{"--vouchers=/nowhere/vouchers.json"}, want: "open the vouchers: "},
		{args: []string{"--tax-rounding=up"}, want: "--tax-rounding"},
		{args: []string{"--tax-level=cart"}, want: "--tax-level"},
		{args: []string{"--checkout-ttl=0s"}, want: "--checkout-ttl: 0s must be positive"},
		{args: []string{"--checkout-ttl=1us"}, want: "--checkout-ttl: 1µs must be between"},
		{args: []string{"--data=" + absolute(t, "main.go")}, want: "is no directory"},
		{args: []string{"--listen=" + taken.Addr().String()}, want: "address already in use"},
		{args: []string{"--listen=127.0.0.1:0", "--ops-listen=" + taken.Addr().String()}, want: "listen for operations: "},
		{args: []string{"--max-requests=0"}, want: "--max-requests: 0 must be at least 1"},
		{args: []string{"--max-connections=0"}, want: "--max-connections"},
		{args: []string{"--max-depth=0"}, want: "--max-depth"},
		{args: []string{"--max-header=0"}, want: "--max-header"},
		{args: []string{"--rate-limit=-1"}, want: "--rate-limit"},
		{args: []string{"--rate-limit=NaN"}, want: "--rate-limit"},
		{args: []string{"--trusted-proxies=10.0.0.0/8,proxy"}, want: `"proxy" is no range of addresses like 10.0.0.0/8`},
		{args: []string{"--write-timeout=1s"}, want: "--write-timeout"},
		{args: []string{"--idle-timeout=0s"}, want: "--idle-timeout"},
		{args: []string{"--https-cert=cert.pem"}, want: "one does not go without the other"},
		{args: []string{"--https-cert=/nowhere/cert.pem", "--https-key=/nowhere/key.pem"}, want: "--https-cert, --https-key: open /nowhere/cert.pem"},
		{args: []string{"--auth=basic"}, want: "--auth"},
		{args: []string{"--auth=jwt"}, want: "--auth=jwt: --jwks is needed"},
		{args: []string{"--jwks=jwks.json"}, want: "mean nothing without --auth=jwt"},
		{args: []string{"--auth=jwt", "--jwks=/nowhere/jwks.json"}, want: "--jwks: read the key set: "},
		{args: []string{"--auth=jwt", "--jwks=ftp://login.example/jwks"}, want: "no http(s) URL"},
		{args: []string{"load"}, want: "--csv"},
	} {
		var env []string
		if tt.env != "" {
			env = []string{tt.env}
		}
		c := run(t, env, tt.args...)
		if code := c.wait().ExitCode(); code < 1 {
			t.Errorf("%s %q: exit code %d, want one that tells of a failure", tt.env, tt.args, code)
		}
		var said []string
		for line := range strings.Lines(c.log()) {
			if !strings.Contains(line, "level=INFO") {
				said = append(said, strings.TrimSpace(line))
			}
		}
		if len(said) != 1 || !strings.HasPrefix(said[0], "cartd: ") || !strings.Contains(said[0], tt.want) {
			t.Errorf("%s %q: stderr is %q, want one line with %q", tt.env, tt.args, said, tt.want)
		}
		if c.stdout.Len() > 0 {
			t.Errorf("%s %q: %q on stdout, want nothing", tt.env, tt.args, c.stdout.String())
		}
	}
}

func TestSecondProcessOnADataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data)
	s.create(t, "c")
	second := run(t, nil, "serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--data="+data)
	second.wantExit(1)
	if log, want := second.log(), fmt.Sprintf("pid %d", s.cmd.Process.Pid); !strings.Contains(log, want) || !strings.Contains(log, data) {
		t.Errorf("stderr is %q, want the directory and %q", log, want)
	}
	s.add(t, "c", "A") // the first one does not mind
	s.kill()
	serve(t, data) // what a dead process has left does not lock
}

func TestVersionIsPrinted(t *testing.T) {
	t.Parallel()
	c := run(t, nil, "version")
	c.wantExit(0)
	if out := c.stdout.String(); !strings.HasPrefix(out, "cartd ") || strings.Count(out, "\n") != 1 {
		t.Errorf("stdout is %q, want one line with the version", out)
	}
}
