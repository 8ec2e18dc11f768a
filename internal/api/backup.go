package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"
)

// BackupPath is where the operations port gives a backup of everything.
const BackupPath = "/backup"

// backupPatience is how long a client of a backup may take nothing.
const backupPatience = time.Minute

// Backup returns the handler of GET [BackupPath] on the operations port: it streams what write gives to who has one of
// the tokens. One backup runs at a time; another one is told 503 with Retry-After. It ends when the client goes, takes
// nothing for a minute, or write fails: then the connection is cut, so that the client knows.
//
// It returns nil if there are no tokens, for then there is nobody to let in.
func Backup(backendTokens []string, write func(context.Context, io.Writer) error, logger *slog.Logger) http.Handler {
	tokens := hashTokens(backendTokens)
	if len(tokens) == 0 {
		return nil
	}
	running := make(chan struct{}, 1) // who has put something in has the turn
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !tokens.allow(r):
			w.Header().Set("WWW-Authenticate", `Bearer realm="cartd"`)
			writeText(w, http.StatusUnauthorized, "this needs the backend token\n")
			return
		case r.Method != http.MethodGet: // HEAD too: it would cost as much
			w.Header().Set("Allow", http.MethodGet)
			writeText(w, http.StatusMethodNotAllowed, "a backup is got with GET\n")
			return
		}
		select {
		case running <- struct{}{}:
			defer func() { <-running }()
		default:
			w.Header().Set("Retry-After", "60")
			writeText(w, http.StatusServiceUnavailable, "another backup is running\n")
			return
		}
		w.Header().Set("Content-Type", "application/x-tar")
		w.Header().Set("Cache-Control", "no-store")
		start, out := time.Now(), &patientWriter{w: w, control: http.NewResponseController(w)}
		if err := write(r.Context(), out); err != nil {
			logger.Warn("backup failed", "bytes", out.n, "took", time.Since(start), "err", err)
			if out.n == 0 {
				w.Header().Set("Retry-After", "60")
				writeText(w, http.StatusServiceUnavailable, "no backup can be made now; the log knows more\n")
				return
			}
			panic(http.ErrAbortHandler) // cuts the connection: an end without the last chunk is no end
		}
		logger.Info("backup was given", "bytes", out.n, "took", time.Since(start))
	})
}

// patientWriter gives each write its own deadline.
type patientWriter struct {
	w       io.Writer
	control *http.ResponseController
	n       int64
}

// Write implements [io.Writer].
func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.control.SetWriteDeadline(time.Now().Add(backupPatience)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := p.w.Write(b)
	p.n += int64(n)
	return n, err
}
