package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog"
)

// exportCmd is `cartd export`.
type exportCmd struct {
	Data string `default:"./data" help:"Data directory."`
	Cart string `placeholder:"ID" help:"Only this cart."`
}

// exported is an event as the API shows it, or a place where one was damaged.
type exported struct {
	Position uint64          `json:"position,omitzero"`
	Kind     string          `json:"kind,omitzero"` // of a stream that is no cart
	CartID   string          `json:"cartId"`
	Branch   string          `json:"branch"`
	Version  uint64          `json:"version"`
	ID       string          `json:"id,omitzero"`
	Time     time.Time       `json:"time,omitzero"`
	Type     string          `json:"type,omitzero"`
	Payload  json.RawMessage `json:"payload,omitempty"`
	Damaged  bool            `json:"damaged,omitzero"`
}

// Run prints the events. Nothing is printed when the journal is damaged, because events would be missing then.
func (c *exportCmd) Run(ctx context.Context) error {
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	visit := func(ev eventlog.Event) error { return enc.Encode(exportedEvent(&ev)) }
	progress, finish := fileProgress(os.Stderr, "export")
	opts := filelog.CheckOptions{Progress: progress}
	var err error
	if c.Cart == "" {
		err = filelog.Export(ctx, c.Data, opts, visit)
	} else {
		var id eventlog.StreamID
		if id, err = eventlog.ParseStreamID(eventlog.KindCart, c.Cart); err == nil {
			err = filelog.ExportStream(ctx, c.Data, id, opts, visit)
		}
	}
	finish()
	return errors.Join(err, out.Flush())
}

func exportedEvent(ev *eventlog.Event) exported {
	x := exported{
		Position: ev.Position, CartID: ev.Stream.Name(), Branch: ev.Branch, Version: ev.Version,
		Time: ev.Time, Type: ev.Type, Payload: ev.Payload, Damaged: ev.Damaged,
	}
	if x.Branch == "" {
		x.Branch = "main"
	}
	if kind := ev.Stream.Kind(); kind != eventlog.KindCart {
		x.Kind = string(kind)
	}
	if ev.ID != ([16]byte{}) {
		x.ID = ev.ID.String()
	}
	return x
}
