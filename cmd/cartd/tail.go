package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"

	"cartd/internal/grain"
	"cartd/internal/sse"
)

// tailCmd is `cartd tail`.
type tailCmd struct {
	URL          string  `name:"url" default:"http://127.0.0.1:8080" help:"Address of the API."`
	Cart         string  `placeholder:"ID" help:"Only this cart; without it all, which needs the backend token."`
	After        *uint64 `placeholder:"N" help:"Begin behind this position, or version of the cart; 0 for all. Without it: with what comes next."`
	JSON         bool    `name:"json" help:"Print each event as a line of JSON."`
	BackendToken string  `help:"The server's backend token; the first of several separated by commas. Better set in the environment than on the command line."`
}

// Run prints events as they come, until it is interrupted or cannot go on.
func (c *tailCmd) Run(ctx context.Context) error {
	colour := term.IsTerminal(int(os.Stdout.Fd())) && os.Getenv("NO_COLOR") == ""
	return c.run(ctx, os.Stdout, os.Stderr, colour)
}

func (c *tailCmd) run(ctx context.Context, out, trouble io.Writer, colour bool) error {
	path := "/v1/events"
	if c.Cart != "" {
		id, err := grain.ParseCartID(c.Cart)
		if err != nil {
			return fmt.Errorf("--cart: %w", err)
		}
		path = "/v1/carts/" + string(id) + "/events"
	}
	u, err := apiURL(c.URL, path)
	if err != nil {
		return err
	}
	f := &follower{url: u, lost: func(err error) { fmt.Fprintf(trouble, "cartd: %s; trying again\n", printable(err.Error())) }}
	if tokens := backendTokens(c.BackendToken); len(tokens) > 0 {
		f.token = tokens[0]
	} else if c.Cart == "" {
		return errors.New("the events of all carts need the server's backend token, in CARTD_BACKEND_TOKEN")
	}
	if c.After != nil {
		f.after = strconv.FormatUint(*c.After, 10)
	} else {
		now := *u
		now.RawQuery = "limit=1"
		var page struct{ Head uint64 }
		if err := getJSON(ctx, &now, f.token, &page); err != nil {
			return err
		}
		f.after = strconv.FormatUint(page.Head, 10)
	}
	w := bufio.NewWriter(out)
	f.event = func(ev sse.Event) error {
		switch {
		case ev.Type == "feed":
			return f.begin(ev.Data)
		case ev.Type == "position_compacted":
			return errors.New("what follows is not kept any more: the reader was too slow")
		case c.JSON:
			w.Write(ev.Data) //nolint:errcheck // Flush tells
			w.WriteByte('\n')
		default:
			line, err := tailLine(ev.Data, c.Cart == "", colour)
			if err != nil {
				return err
			}
			w.WriteString(line) //nolint:errcheck // Flush tells
		}
		return w.Flush()
	}
	return f.run(ctx)
}

// begin takes what a stream of the feed begins with: a cursor of another log must not be gone on from.
func (f *follower) begin(data []byte) error {
	var start struct{ Incarnation string }
	if err := json.Unmarshal(data, &start); err != nil {
		return fmt.Errorf("the stream begins with %.80q: %w", data, err)
	}
	q := f.url.Query()
	q.Set("incarnation", start.Incarnation)
	f.url.RawQuery = q.Encode()
	return nil
}

// apiEvent is an event as the API has it.
type apiEvent struct {
	Position uint64          `json:"position"`
	CartID   string          `json:"cartId"`
	Branch   string          `json:"branch"`
	Version  uint64          `json:"version"`
	Time     time.Time       `json:"time"`
	Type     string          `json:"type"`
	Payload  json.RawMessage `json:"payload"`
}

// What terminals know (ECMA-48, SGR).
const (
	dim   = "\x1b[2m"
	bold  = "\x1b[1m"
	cyan  = "\x1b[36m"
	plain = "\x1b[0m"
)

// tailLine returns an event as a line.
func tailLine(data []byte, cart, colour bool) (string, error) {
	var ev apiEvent
	if err := json.Unmarshal(data, &ev); err != nil {
		return "", fmt.Errorf("%.80q is no event: %w", data, err)
	}
	paint := func(how, s string) string {
		if !colour {
			return s
		}
		return how + s + plain
	}
	var b strings.Builder
	b.WriteString(paint(dim, ev.Time.Local().Format("15:04:05.000")) + " ")
	if cart {
		b.WriteString(paint(dim, strconv.FormatUint(ev.Position, 10)) + " " + paint(cyan, printable(ev.CartID)) + " ")
	}
	b.WriteString("v" + strconv.FormatUint(ev.Version, 10) + " ")
	if ev.Branch != "main" {
		b.WriteString(paint(cyan, "("+printable(ev.Branch)+")") + " ")
	}
	b.WriteString(paint(bold, printable(ev.Type)))
	if about := payloadWords(ev.Payload, 100); about != "" {
		b.WriteString(" " + about)
	}
	return b.String() + "\n", nil
}

// payloadWords returns the members of a JSON object that are neither objects nor arrays, up to about limit bytes.
func payloadWords(payload []byte, limit int) string {
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	var b strings.Builder
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			break
		}
		text := string(value)
		switch value[0] {
		case '{', '[':
			continue
		case '"':
			if json.Unmarshal(value, &text) != nil {
				continue
			}
		}
		if b.Len() > limit {
			b.WriteString(" …")
			break
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%s", printable(fmt.Sprint(name)), printable(shorten(text, 40)))
	}
	return b.String()
}

// shorten cuts what has more than n characters.
func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// printable leaves out what would mean something to a terminal: what shoppers write comes here.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
