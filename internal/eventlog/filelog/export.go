package filelog

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/filelog/vfs"
)

// Export calls visit for all events of the log in dir, stream by stream in the order of their files' paths, each in the
// order of its log. It takes no lock and changes nothing. What is in the journal and not yet in a file is there too, as
// far as it was when Export began; what was appended since may be. A torn end is left out; a damaged place is an event
// with Damaged set, as [Log.Read] gives it. Payloads are valid during the call. It stops at the first error; one that wraps
// eventlog.ErrCorrupt comes before any event and means that the journal is damaged, so that events might be missing.
func Export(ctx context.Context, dir string, opts CheckOptions, visit func(eventlog.Event) error) error {
	return export(ctx, dir, opts, func(*checker) error { return nil }, visit)
}

// ExportStream is [Export] for one stream. The error wraps fs.ErrNotExist if the log has nothing of it.
func ExportStream(ctx context.Context, dir string, id eventlog.StreamID, opts CheckOptions, visit func(eventlog.Event) error) error {
	return export(ctx, dir, opts, func(c *checker) error {
		if _, ok := c.streams[newStream(id).path]; !ok {
			return fmt.Errorf("%s: %w", id, fs.ErrNotExist)
		}
		c.paths = []string{newStream(id).path}
		return nil
	}, visit)
}

func export(ctx context.Context, dir string, opts CheckOptions, pick func(*checker) error, visit func(eventlog.Event) error) error {
	tree, err := vfs.OpenExisting(dir)
	if err != nil {
		return fmt.Errorf("export %s: %w", dir, err)
	}
	defer tree.Close() // only read
	c := newChecker(tree, opts)
	if err = refuseUnfinished(tree); err == nil {
		err = c.readForExport()
	}
	if err == nil {
		err = pick(c)
	}
	for i := 0; i < len(c.paths) && err == nil; i++ {
		err = c.exportStream(ctx, c.paths[i], visit)
		c.opts.Progress(i+1, len(c.paths))
	}
	if err != nil {
		return fmt.Errorf("export %s: %w", dir, err)
	}
	return nil
}

// readForExport reads the journal and finds the files; a stream that only the journal has counts as one.
func (c *checker) readForExport() error {
	if err := c.soundJournal(); err != nil {
		return err
	}
	if err := c.walk(); err != nil {
		return err
	}
	c.paths = slices.DeleteFunc(c.paths, func(path string) bool {
		a := c.beside[path]
		return a.alone && len(a.sealed) == 0 && !a.archived // a snapshot of nothing
	})
	c.streams = make(map[string]eventlog.StreamID, len(c.paths))
	for _, path := range c.paths {
		c.streams[path] = streamAt(path)
	}
	for path := range c.records {
		if _, ok := c.streams[path]; !ok {
			c.streams[path] = streamAt(path)
			c.paths = append(c.paths, path)
		}
	}
	slices.Sort(c.paths)
	return nil
}

// soundJournal reads the journal, and looks a second time if it seems to be damaged.
func (c *checker) soundJournal() error {
	if err := c.readJournal(); err != nil {
		return err
	}
	if len(c.survey.Faults) > 0 {
		first := c.survey.Faults
		if err := c.readJournal(); err != nil {
			return err
		}
		for _, f := range c.survey.Faults {
			if slices.ContainsFunc(first, func(g journal.Fault) bool { return g.File == f.File && g.Offset == f.Offset && g.Kind == f.Kind }) {
				return fmt.Errorf("%w: %s, byte %d: %w; cartd verify tells more", eventlog.ErrCorrupt, f.File, f.Offset, f.Why)
			}
		}
	}
	return nil
}

// streamAt returns the stream whose file is at path, which walk or frame has made.
func streamAt(path string) eventlog.StreamID {
	top, rest, _ := strings.Cut(path, "/")
	name := strings.TrimSuffix(rest[strings.LastIndexByte(rest, '/')+1:], logSuffix)
	id, _ := eventlog.ParseStreamID(eventlog.Kind(strings.TrimSuffix(top, "s")), name)
	return id
}

// exportStream yields a stream's events: those of its log, and those that only the journal has.
func (c *checker) exportStream(ctx context.Context, path string, visit func(eventlog.Event) error) error {
	h, err := c.openStream(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	defer h.Close() // only read
	in := newInspector(h.lines(0, h.end(), c.opts.MaxLineBytes, nil), c.records[path])
	if err := in.run(ctx, func(*piece) error { return nil }); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	w := wholeLog(h, in)
	r := &replayer{id: c.streams[path], lines: newLineReaderAt(w.reader(), 0, w.size(), c.opts.MaxLineBytes)}
	r.run(ctx, func(ev eventlog.Event, e error) bool {
		if err = e; err == nil {
			err = visit(ev)
		}
		return err == nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
