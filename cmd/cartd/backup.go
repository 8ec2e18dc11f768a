package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cartd/internal/api"
	"cartd/internal/eventlog/filelog"
	"cartd/internal/eventlog/filelog/vfs"
)

// backupCmd is `cartd backup`.
type backupCmd struct {
	Data         string `placeholder:"DIR" help:"Data directory that no server is using."`
	URL          string `name:"url" placeholder:"URL" help:"Operations port of a running server, such as http://127.0.0.1:8081; then --data is not looked at."`
	To           string `required:"" placeholder:"DEST" help:"Directory for the backup: empty, or not there."`
	JSON         bool   `name:"json" help:"Print the result as JSON."`
	BackendToken string `help:"The server's backend token, with --url; the first of several separated by commas. Better set in the environment than on the command line."`
}

var errDamagedShop = errors.New("the backup is complete; what was damaged in the shop before is damaged in it: see cartd verify of the data directory")

// Run makes the backup. What it leaves when it fails is no backup, and says so to all who look.
func (c *backupCmd) Run(ctx context.Context) error {
	step, finish := fileProgress(os.Stderr, "backup")
	var progress func(int)
	if step != nil {
		progress = func(files int) { step(files, -1) }
	}
	info, err := c.backup(ctx, progress)
	finish()
	if err != nil {
		return exitError{2, err}
	}
	if err := c.print(os.Stdout, info); err != nil {
		return exitError{2, err}
	}
	if len(info.Damaged) > 0 {
		return errDamagedShop
	}
	return nil
}

func (c *backupCmd) print(w io.Writer, info *filelog.BackupInfo) error {
	if c.JSON {
		return printJSON(w, info)
	}
	for _, path := range info.Damaged {
		fmt.Fprintf(w, "DAMAGED  %s: copied as it is\n", path)
	}
	_, err := fmt.Fprintf(w, "%d carts, %d events up to position %d, %d bytes in %d files: %s is complete\n",
		info.Carts, info.Events, info.Position, info.Bytes, info.Files, c.To)
	return err
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func (c *backupCmd) backup(ctx context.Context, progress func(int)) (*filelog.BackupInfo, error) {
	switch {
	case c.URL != "":
		return c.download(ctx, progress)
	case c.Data == "":
		return nil, errors.New("--data or --url is needed")
	case below(c.To, c.Data):
		return nil, fmt.Errorf("--to: %s is in the data directory", c.To)
	}
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		_, err := filelog.BackupDir(ctx, c.Data, w, filelog.CheckOptions{})
		w.CloseWithError(err) //nolint:errcheck // always nil
		written <- err
	}()
	src := bufio.NewReader(r)
	var info *filelog.BackupInfo
	_, err := src.Peek(1) // nothing is made before there is something
	if err == nil {
		info, err = filelog.ReceiveBackup(ctx, src, c.To, progress)
	}
	r.CloseWithError(errUnread) //nolint:errcheck // always nil
	if cause := <-written; cause != nil && err != nil && !errors.Is(cause, errUnread) {
		err = cause // what the receiver has seen of it says less
	}
	if errors.Is(err, vfs.ErrLocked) {
		err = fmt.Errorf("%w: a server is running there; to make a backup of it: cartd backup --url http://127.0.0.1:8081 --to %s", err, c.To)
	}
	return info, err
}

// errUnread is what the sender is told when the receiver has failed.
var errUnread = errors.New("nobody reads on")

// below reports whether path is dir or in it, links followed as far as they are there.
func below(path, dir string) bool {
	resolve := func(p string) string {
		p, _ = filepath.Abs(p) // fails only without a working directory
		if real, err := filepath.EvalSymlinks(p); err == nil {
			return real
		}
		return p
	}
	rel, err := filepath.Rel(resolve(dir), resolve(path))
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// stall is how long a server may send nothing.
const stall = 2 * time.Minute

// download takes a backup of a running server.
func (c *backupCmd) download(ctx context.Context, progress func(int)) (*filelog.BackupInfo, error) {
	tokens := backendTokens(c.BackendToken)
	if len(tokens) == 0 {
		return nil, errors.New("the server's backend token is needed, in CARTD_BACKEND_TOKEN")
	}
	base, err := url.Parse(c.URL)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("--url: %q is no URL like http://127.0.0.1:8081", c.URL)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(stall, func() { cancel(fmt.Errorf("the server has sent nothing for %v", stall)) })
	defer timer.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(api.BackupPath).String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+tokens[0])
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // the token is for this server
	resp, err := client.Do(req)
	if err != nil {
		return nil, errors.Join(context.Cause(ctx), err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: %s", req.URL.Redacted(), resp.Status, whyNot(resp))
	}
	info, err := filelog.ReceiveBackup(ctx, readerFunc(func(p []byte) (int, error) {
		n, err := resp.Body.Read(p)
		timer.Reset(stall)
		return n, err
	}), c.To, progress)
	if err != nil && context.Cause(ctx) != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return info, err
}

// whyNot says what a refusal means.
func whyNot(resp *http.Response) string {
	switch resp.StatusCode {
	case http.StatusNotFound:
		return "no operations port of cartd is there, or its server has no backend token"
	case http.StatusUnauthorized:
		return "the backend token in CARTD_BACKEND_TOKEN is not the server's"
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 256)) // as far as it can be read
	return strings.TrimSpace(strings.ToValidUTF8(string(b), "?"))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// restoreCmd is `cartd restore`.
type restoreCmd struct {
	From string `required:"" placeholder:"DEST" help:"The backup."`
	To   string `required:"" placeholder:"DIR" help:"The new data directory: empty, or not there."`
	JSON bool   `name:"json" help:"Print the result as JSON."`
}

// Run restores. Nothing is written before all of the backup has been checked.
func (c *restoreCmd) Run(ctx context.Context) error {
	progress, finish := fileProgress(os.Stderr, "restore")
	done, report, err := filelog.Restore(ctx, c.From, c.To, filelog.CheckOptions{Progress: progress})
	finish()
	if errors.Is(err, filelog.ErrBadBackup) {
		for _, f := range report.Faults {
			fmt.Fprintf(os.Stderr, "FAULT  %s\n", findingText(f))
		}
		return err
	}
	if err != nil {
		return exitError{2, err}
	}
	if c.JSON {
		err = printJSON(os.Stdout, done)
	} else {
		for _, path := range done.Damaged {
			fmt.Printf("DAMAGED  %s: it was like that in the shop\n", path)
		}
		_, err = fmt.Printf("%d carts, %d events up to position %d: cartd serve --data %s\n", done.Carts, done.Events, done.Position, c.To)
	}
	if err != nil {
		return exitError{2, err}
	}
	return nil
}
