package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// certificateEvery is how often the files of the certificate are looked at.
const certificateEvery = time.Second

// maxCertificateBytes bounds a file of the certificate.
const maxCertificateBytes = 1 << 20

// certificate is the pair of files that the public port is served with. When they change, new connections get the new
// pair: once it is a pair, and has been the same for two looks, so that one which is being written is never served. Looks
// are taken at the files' contents and not at their times, which a mounted secret, switched by a symlink, does not promise.
type certificate struct {
	certFile, keyFile string
	logger            *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	stop              context.CancelFunc
	done              sync.WaitGroup

	served, seen, refused pair // owned by follow; refused is what was last logged as not served
}

// pair is what the two files hold.
type pair struct{ cert, key []byte }

// nothing is a pair that no files hold, not even those that cannot be read.
var nothing = pair{key: []byte("nothing")}

func (p pair) is(q pair) bool { return bytes.Equal(p.cert, q.cert) && bytes.Equal(p.key, q.key) }

// openCertificate reads the pair and follows its changes until close.
func openCertificate(certFile, keyFile string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	p, err := c.read()
	if err != nil {
		return nil, err
	}
	loaded, err := p.load()
	if err != nil {
		return nil, err
	}
	if time.Now().After(loaded.Leaf.NotAfter) {
		logger.Warn("the certificate has expired", "file", certFile, "expired", loaded.Leaf.NotAfter)
	}
	c.current.Store(loaded)
	c.served, c.seen, c.refused = p, p, nothing
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.done.Go(func() { c.follow(ctx) })
	return c, nil
}

func (c *certificate) close() {
	c.stop()
	c.done.Wait()
}

// config is what the public port is served with.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

func (c *certificate) follow(ctx context.Context) {
	tick := time.NewTicker(certificateEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look()
		}
	}
}

// look serves what the files hold, if that is new, has been the same for two looks, and is a pair.
func (c *certificate) look() {
	p, err := c.read() // what cannot be read is an empty pair
	last := c.seen
	c.seen = p
	if !p.is(last) || p.is(c.served) || p.is(c.refused) {
		return // being written, or nothing new
	}
	var loaded *tls.Certificate
	if err == nil {
		loaded, err = p.load()
	}
	if err != nil {
		c.refused = p
		c.logger.Error("the new certificate is not served; the old one goes on", "file", c.certFile, "err", err)
		return
	}
	c.current.Store(loaded)
	c.served, c.refused = p, nothing
	c.logger.Info("a new certificate is served", "file", c.certFile, "expires", loaded.Leaf.NotAfter)
}

func (c *certificate) read() (p pair, err error) {
	if p.cert, err = readBounded(c.certFile); err != nil {
		return pair{}, err
	}
	if p.key, err = readBounded(c.keyFile); err != nil {
		return pair{}, err
	}
	return p, nil
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCertificateBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(b) > maxCertificateBytes:
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxCertificateBytes)
	case len(b) == 0:
		return nil, fmt.Errorf("%s is empty", path)
	}
	return b, nil
}

// load makes a certificate of a pair; an error if the key is not the certificate's.
func (p pair) load() (*tls.Certificate, error) {
	loaded, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, err
	}
	if loaded.Leaf == nil {
		return nil, errors.New("there is no certificate in it")
	}
	if _, err := x509.ParseCertificates(bytes.Join(loaded.Certificate, nil)); err != nil {
		return nil, fmt.Errorf("its chain: %w", err)
	}
	return &loaded, nil
}
