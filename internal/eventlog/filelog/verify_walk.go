package filelog

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"cartd/internal/eventlog"
)

// walk finds the streams' files and what does not belong.
func (c *checker) walk() error {
	top, err := c.tree.ReadDir(".")
	if err != nil {
		return err
	}
	c.paths = c.paths[:0]
	found := false
	slices.Sort(top)
	for _, name := range top {
		kind, many := strings.CutSuffix(name, "s")
		isDir, err := c.isDir(name)
		if err != nil {
			return err
		}
		switch {
		case name == lockName, name == quarantineDir && isDir:
		case name == listName && !isDir:
		case name == journalDir && isDir:
			found = true
		case many && isDir && eventlog.ValidName(kind):
			found = true
			if err := c.walkKind(eventlog.Kind(kind)); err != nil {
				return err
			}
		default:
			c.unexpected(name)
		}
	}
	for _, name := range c.survey.Unexpected {
		c.unexpected(name)
	}
	if !found {
		return ErrNoLog
	}
	slices.Sort(c.paths)
	return nil
}

func (c *checker) unexpected(name string) {
	c.note(Finding{File: name, Kind: Unexpected, Detail: "is no part of an event log"})
}

// isDir is false for what is gone meanwhile.
func (c *checker) isDir(name string) (bool, error) {
	mode, err := c.tree.Mode(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return mode.IsDir(), err
}

func (c *checker) walkKind(kind eventlog.Kind) error {
	top := kindDir(kind)
	subs, err := c.tree.ReadDir(top)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		dir := top + "/" + sub
		isDir, err := c.isDir(dir)
		if err != nil {
			return err
		}
		if !isDir {
			c.entry(kind, top, sub)
			continue
		}
		names, err := c.tree.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			c.entry(kind, dir, name)
		}
	}
	return nil
}

// entry decides what a file is.
func (c *checker) entry(kind eventlog.Kind, dir, name string) {
	path := dir + "/" + name
	stem, ok := strings.CutSuffix(name, logSuffix)
	if !ok {
		c.unexpected(path)
		return
	}
	id, err := eventlog.ParseStreamID(kind, stem)
	if err != nil {
		c.fault(Finding{File: path, Kind: BadName, Detail: err.Error()})
		return
	}
	if want := newStream(id).path; want != path {
		c.fault(Finding{File: path, Kind: WrongPlace, Detail: "nobody looks for it here: its place is " + want, place: want})
		return
	}
	c.paths = append(c.paths, path)
}
