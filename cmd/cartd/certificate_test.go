//go:build unix

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// newPair makes a self-signed certificate for 127.0.0.1 with a serial number, and its key.
func newPair(t *testing.T, serial int64) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "cartd"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// mount is a directory whose files are switched all at once, as Kubernetes mounts a secret.
type mount struct{ dir, cert, key string }

func newMount(t *testing.T, p pair) mount {
	t.Helper()
	dir := t.TempDir()
	m := mount{dir, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	m.set(t, "first", p)
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func (m mount) set(t *testing.T, version string, p pair) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(m.dir, version), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(m.dir, version, "tls.crt"), p.cert)
	write(t, filepath.Join(m.dir, version, "tls.key"), p.key)
	if err := os.Symlink(version, filepath.Join(m.dir, "..new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(m.dir, "..new"), filepath.Join(m.dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

// served returns the serial number of the certificate that a new connection gets.
func (s *server) served(t *testing.T) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.api, "https://"), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestCertificateIsReplacedWithoutARestart(t *testing.T) {
	t.Parallel()
	first := newPair(t, 1)
	m := newMount(t, first)
	s := serve(t, t.TempDir(), "--https-cert="+m.cert, "--https-key="+m.key)
	if !strings.HasPrefix(s.api, "https://") {
		t.Fatalf("it serves on %s, want https", s.api)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(first.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	s.http = &http.Client{Transport: transport, Timeout: patience}
	resp, err := s.http.Get(s.api + "/v1/carts/nobody")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusNotFound {
		t.Errorf("%s, status %d; want HTTP/2 and 404", resp.Proto, resp.StatusCode)
	}
	s.create(t, "c")
	s.add(t, "c", "A")
	address := strings.TrimPrefix(s.api, "https://")
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		conn.Close()
		t.Error("TLS 1.1 is spoken, want 1.2 at least")
	}

	m.set(t, "second", newPair(t, 2))
	eventually(t, "the second certificate is served", func() bool { return s.served(t) == 2 })
	s.add(t, "c", "B") // on the connection of before

	m.set(t, "mismatch", pair{newPair(t, 3).cert, newPair(t, 4).key})
	s.logged("the new certificate is not served; the old one goes on")
	if got := s.served(t); got != 2 {
		t.Errorf("certificate %d is served, want the second", got)
	}
	m.set(t, "fifth", newPair(t, 5))
	eventually(t, "the fifth certificate is served", func() bool { return s.served(t) == 5 })
	s.signal(syscall.SIGTERM)
	s.wantExit(0)
}

func TestStartRefusesAPairThatIsNone(t *testing.T) {
	t.Parallel()
	one, two := newPair(t, 1), newPair(t, 2)
	for what, p := range map[string]pair{
		"another's key": {one.cert, two.key}, "half a certificate": {one.cert[:100], one.key}, "half a key": {one.cert, one.key[:50]}, "an empty file": {nil, one.key},
	} {
		m := newMount(t, p)
		c := run(t, nil, "serve", "--listen=127.0.0.1:0", "--ops-listen=127.0.0.1:0", "--https-cert="+m.cert, "--https-key="+m.key)
		c.wantExit(1)
		if log := c.log(); !strings.Contains(log, "--https-cert, --https-key: ") {
			t.Errorf("%s: stderr is %q", what, log)
		}
	}
}

// A file that is written in place, piece by piece: what it holds meanwhile is never served, also where it would be a pair.
func TestCertificateThatIsBeingWrittenIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		first, second := newPair(t, 1), newPair(t, 2)
		chain := append(append([]byte{}, second.cert...), newPair(t, 3).cert...) // a pair already when half of it is there
		write(t, certFile, first.cert)
		write(t, keyFile, first.key)
		c, err := openCertificate(certFile, keyFile, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		serial := func() int64 {
			synctest.Wait()
			return c.current.Load().Leaf.SerialNumber.Int64()
		}
		time.Sleep(certificateEvery / 2)
		write(t, keyFile, second.key)
		for n := 0; n < len(chain); n += len(chain) / 16 {
			write(t, certFile, chain[:n])
			time.Sleep(certificateEvery)
			if got := serial(); got != 1 {
				t.Fatalf("with %d of %d bytes certificate %d is served, want the first", n, len(chain), got)
			}
		}
		write(t, certFile, chain)
		time.Sleep(2 * certificateEvery)
		if got := serial(); got != 2 || len(c.current.Load().Certificate) != 2 {
			t.Errorf("certificate %d is served, want the second with its chain", got)
		}
		if err := os.Remove(keyFile); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * certificateEvery)
		if got := serial(); got != 2 {
			t.Errorf("certificate %d is served while the key is gone, want the second", got)
		}
		write(t, keyFile, first.key)
		write(t, certFile, first.cert)
		time.Sleep(3 * certificateEvery)
		if got := serial(); got != 1 {
			t.Errorf("certificate %d is served, want the first again", got)
		}
	})
}

func TestCertificateThatIsNotServedIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
		first, second := newPair(t, 1), newPair(t, 2)
		write(t, certFile, first.cert)
		write(t, keyFile, first.key)
		var logged counting
		c, err := openCertificate(certFile, keyFile, slog.New(&logged))
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		write(t, keyFile, second.key)
		time.Sleep(time.Minute)
		synctest.Wait()
		if logged.errors != 1 {
			t.Errorf("%d errors are logged in a minute, want 1", logged.errors)
		}
	})
}

// counting counts what is logged as an error.
type counting struct {
	slog.Handler
	errors int
}

func (c *counting) Enabled(context.Context, slog.Level) bool { return true }

func (c *counting) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		c.errors++
	}
	return nil
}
