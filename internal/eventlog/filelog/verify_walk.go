package filelog

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"cartd/internal/eventlog"
)

// walk finds the streams' files and what does not belong.
func (c *checker) walk() error {
	top, err := c.tree.ReadDir(".")
	if err != nil {
		return err
	}
	c.paths, c.beside, c.leftovers = c.paths[:0], make(map[string]beside), nil
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
		case (name == listName || name == SubscriptionsName) && !isDir, name == oplogDir && isDir:
		case name == journalDir && isDir:
			found = true
		case name == archiveDir && isDir:
			if err := c.walkArchive(); err != nil {
				return err
			}
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
	c.addAlone()
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
			if err := c.entry(kind, top, sub); err != nil {
				return err
			}
			continue
		}
		names, err := c.tree.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := c.entry(kind, dir, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// walkArchive finds the archives.
func (c *checker) walkArchive() error {
	return walkArchives(c.tree, func(dir, name string) error {
		path := dir + "/" + name
		if of, ok := strings.CutSuffix(path, ".tmp"); ok {
			if _, _, ok := splitPath(of); ok {
				c.leftover(path)
				return nil
			}
		}
		kind, _, _ := strings.Cut(strings.TrimPrefix(dir, archiveDir+"/"), "/")
		stem, is := strings.CutSuffix(name, archiveSuffix)
		id, err := eventlog.ParseStreamID(eventlog.Kind(strings.TrimSuffix(kind, "s")), stem)
		if !is || err != nil {
			c.unexpected(path)
			return nil
		}
		log := newStream(id).path
		if want := archivePath(log); want != path {
			c.misplaced(path, want)
			return nil
		}
		mode, err := c.tree.Mode(path)
		if isNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		a := c.beside[log]
		if mode.IsRegular() {
			a.archived = true
		} else {
			c.fault(Finding{File: path, Kind: NoFile, Detail: errNoFile.Error()})
			a.odd = true
		}
		c.beside[log] = a
		return nil
	})
}

func (c *checker) leftover(path string) {
	c.leftovers = append(c.leftovers, path)
	c.note(Finding{File: path, Kind: Leftover, Detail: "was not put in its place before the process that wrote it ended"})
}

func (c *checker) misplaced(path, want string) {
	c.fault(Finding{File: path, Kind: WrongPlace, Detail: "nobody looks for it here: its place is " + want, place: want})
}

// entry decides what a file is.
func (c *checker) entry(kind eventlog.Kind, dir, name string) error {
	path := dir + "/" + name
	stem, sort, number := parseName(name)
	switch sort {
	case otherFile:
		c.unexpected(path)
		return nil
	case leftoverFile:
		c.leftover(path)
		return nil
	}
	id, err := eventlog.ParseStreamID(kind, stem)
	if err != nil {
		c.fault(Finding{File: path, Kind: BadName, Detail: err.Error()})
		return nil
	}
	log := newStream(id).path
	if want := parentDir(log) + "/" + name; want != path {
		c.misplaced(path, want)
		return nil
	}
	if sort == streamLog {
		c.paths = append(c.paths, path)
		return nil
	}
	mode, err := c.tree.Mode(path)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	a := c.beside[log]
	switch {
	case !mode.IsRegular():
		c.fault(Finding{File: path, Kind: NoFile, Detail: errNoFile.Error()})
		a.odd = a.odd || sort == sealedLog
	case sort == sealedLog:
		a.sealed = append(a.sealed, number)
	default:
		a.snapshots = true
	}
	c.beside[log] = a
	return nil
}

// beside is what stands beside a stream's file.
type beside struct {
	sealed    []int // numbers of the sealed parts, in order
	snapshots bool
	archived  bool
	odd       bool // what has the name of a sealed part, or of the archive, is no file
	alone     bool // the stream's file is missing
}

// addAlone makes streams of those whose file is missing, and puts numbers in order.
func (c *checker) addAlone() {
	slices.Sort(c.paths)
	there := c.paths
	for log, a := range c.beside {
		slices.Sort(a.sealed)
		if _, ok := slices.BinarySearch(there, log); !ok {
			a.alone = true
			c.paths = append(c.paths, log)
		}
		c.beside[log] = a
	}
	slices.Sort(c.paths)
}

// fileSort is what the name of a file in a stream's directory makes of it.
type fileSort int

const (
	otherFile fileSort = iota
	streamLog
	sealedLog
	savedState
	leftoverFile // of any of the others, on its way there
)

// parseName returns what a file's name says: the stream's name, and the number of a sealed part.
func parseName(name string) (stem string, sort fileSort, number int) {
	if of, ok := strings.CutSuffix(name, ".tmp"); ok {
		if stem, sort, _ := parseName(of); sort == streamLog || sort == sealedLog || sort == savedState {
			return stem, leftoverFile, 0
		}
		return "", otherFile, 0
	}
	if stem, ok := strings.CutSuffix(name, logSuffix); ok {
		return stem, streamLog, 0
	}
	for _, suffix := range []string{".snapshot", ".snapshot.old"} {
		if stem, ok := strings.CutSuffix(name, suffix); ok {
			return stem, savedState, 0
		}
	}
	if stem, rest, ok := strings.Cut(name, ".events."); ok {
		digits, _ := strings.CutSuffix(rest, ".log.zst")
		if n, err := strconv.Atoi(digits); err == nil && n > 0 && sealedPath(stem+logSuffix, n) == name {
			return stem, sealedLog, n
		}
	}
	return "", otherFile, 0
}
