// Package importer takes over the carts of the service before cartd: logs of lines
// {"ts":1700000000,"type":"AddItem","payload":{…}}, named <id>.events.log, in one directory or in directories below it.
//
// A cart is one commit, so that it is there as a whole or not at all, with the times that its lines have. Each line
// becomes at least one event:
//
//	line                         events
//	a mutation of cartd          the same
//	AddRequest                   the AddItem that the catalogue makes of it now
//	SetCartRequest               ClearCart, and AddItem for each item
//	a request or an item that    AddRequest, as it was: replay leaves it out; it is told
//	the catalogue does not have
//	an unknown type              the same: replay leaves it out, and the cart is marked as damaged; it is told
//	a line that does not check   ImportDamaged, which no cart knows: the cart is marked as damaged; it is told
//	out
//
// The id of an event is made from cart, line number and line, so that another import knows what is there already: a
// cart whose events are those of its log is left alone, and so is, with a word, any other cart that exists. Nothing is
// ever mixed. An import that was cut off is simply run again.
package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/sync/errgroup"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
	"cartd/internal/resolve"
	"cartd/pkg/actor"
)

// suffix is how a log's name ends.
const suffix = ".events.log"

// workers import carts at once: those that wait for the disk share a sync.
const workers = 16

// maxDepth is how deep logs may lie: carts/ab/<id>.events.log, and one above for good measure.
const maxDepth = 3

// maxLogBytes bounds a log, which is one commit.
const maxLogBytes = 32 << 20

// Options say what to import and where to.
type Options struct {
	Dir      string                              // the logs
	Store    eventlog.Store                      // required
	Catalog  resolve.Catalog                     // required
	Registry *actor.MutationRegistry[grain.Cart] // of replay; required
	Progress func(carts int)                     // told of each log, from several goroutines; nil: nobody is
}

// Run imports all carts. Problems with parts of it are in the report, which is returned in any case. The error says that
// the import could not go on, for one because the catalogue does not answer: it can be run again.
func Run(ctx context.Context, opts Options) (*Report, error) {
	start := time.Now()
	im := &importer{Options: opts, report: &Report{Problems: []Problem{}}}
	err := im.run(ctx)
	im.report.finish(time.Since(start))
	if err != nil {
		return im.report, fmt.Errorf("import %s: %w", opts.Dir, err)
	}
	return im.report, nil
}

type importer struct {
	Options
	root *os.Root
	turn [256]sync.Mutex // by the hash of a cart's name: held while a log of it is imported

	mu     sync.Mutex // guards the following
	report *Report
	logs   int
}

func (im *importer) run(ctx context.Context) (err error) {
	if im.root, err = os.OpenRoot(im.Dir); err != nil {
		return err
	}
	defer im.root.Close() // only read
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	err = im.walk(ctx, ".", 0, func(name string) {
		g.Go(func() error {
			if err := im.log(ctx, name); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			im.mu.Lock()
			defer im.mu.Unlock()
			im.logs++
			if im.Progress != nil {
				im.Progress(im.logs)
			}
			return nil
		})
	})
	if waited := g.Wait(); waited != nil {
		return waited
	}
	if err == nil && im.logs == 0 && len(im.report.Problems) == 0 {
		err = errors.New("there is no *.events.log")
	}
	return err
}

// walk visits all that is called like a log. It reads names in portions: a directory may have a million.
func (im *importer) walk(ctx context.Context, dir string, depth int, visit func(name string)) (err error) {
	f, err := im.root.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for {
		entries, err := f.ReadDir(1024)
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			switch {
			case context.Cause(ctx) != nil:
				return context.Cause(ctx)
			case e.IsDir():
				if depth < maxDepth {
					if err := im.walk(ctx, name, depth+1, visit); err != nil {
						return err
					}
				}
			case !strings.HasSuffix(name, suffix):
			case e.Type().IsRegular():
				visit(name)
			default: // a link may lead anywhere, and opening a pipe would wait
				im.tell(Problem{File: name, Kind: NotAFile, Detail: "is no regular file"})
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// log imports one cart.
func (im *importer) log(ctx context.Context, name string) (err error) {
	id, err := eventlog.ParseStreamID(eventlog.KindCart, strings.TrimSuffix(path.Base(name), suffix))
	if err != nil {
		im.tell(Problem{File: name, Kind: BadName, Detail: err.Error()})
		return nil
	}
	turn := &im.turn[xxhash.Sum64String(id.Name())%uint64(len(im.turn))]
	turn.Lock() // there may be another log of it, in another directory: two activations would be in each other's way
	defer turn.Unlock()
	f, err := im.root.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		im.tell(Problem{File: name, Cart: id.Name(), Kind: NotAFile, Detail: err.Error()})
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxLogBytes {
		im.tell(Problem{File: name, Cart: id.Name(), Kind: TooLarge, Detail: fmt.Sprintf("it has %d bytes, at most %d are imported", info.Size(), maxLogBytes)})
		return nil
	}
	c := &cart{im: im, file: name, id: id, at: time.Unix(0, 0).UTC()}
	return c.run(ctx, f, info.Size())
}

func (im *importer) tell(p Problem) {
	im.mu.Lock()
	defer im.mu.Unlock()
	im.report.add(p)
}
