package filelog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cartd/internal/eventlog"
	"cartd/internal/eventlog/filelog/journal"
	"cartd/internal/eventlog/filelog/vfs"
)

// repairRounds bounds how often repair looks again at what it has done: a file that is put in its place has to be
// read there, and a restored line may collide with another.
const repairRounds = 4

// ErrNotRepaired means that something is wrong still.
var ErrNotRepaired = errors.New("not everything could be repaired")

// Repaired tells what [Repair] has done.
type Repaired struct {
	Found []Finding // what was wrong
	Done  []string  // what was done about it, in order
	Lost  []string  // what nobody could bring back; empty as a rule
	Kept  string    // the directory that holds what was replaced, relative to the data directory; "" if nothing was
	After *Report   // of a last look
}

// Repair makes the event log in dir one that opens and that [Verify] finds no fault in. It holds the log's lock, so that
// no process is using it. Nothing is deleted: what it replaces is kept under quarantine/, whole files of it.
//
//   - A damaged or missing line is restored from the journal. If the journal does not have it any more, a marker takes
//     its place: replay yields a damaged event there, as it does for the damaged line, and no version changes.
//   - A line whose position is another line's, or goes back, loses its position and stays what it is.
//   - A torn end is cut off.
//   - A stream with sealed parts that has any of these is written out into one file again, and its parts are set aside.
//   - An archive with a fault becomes a stream's file again, and is set aside.
//   - A snapshot that is not what the log says is set aside, and so are those of every stream that is written anew.
//   - A file in a wrong directory is put in its place if that is free, and is set aside otherwise.
//   - From a damaged journal all sound frames are saved: the streams' files get what they lack of them. Then the
//     segments are set aside, and a checkpoint is written behind which a new one begins.
//
// It can be ended at any point, and run again. All is on stable storage when it returns. The error wraps
// vfs.ErrLocked when a process is using the log, and ErrNotRepaired when a fault is left, which the report tells. What a
// newer program has written is no damage: Repair changes nothing then, and the error wraps ErrNewerFormat, or
// journal.ErrNewerFormat.
func Repair(ctx context.Context, dir string, opts CheckOptions) (*Repaired, error) {
	tree, err := vfs.OpenExisting(dir)
	if err != nil {
		return nil, fmt.Errorf("repair %s: %w", dir, err)
	}
	defer tree.Close() // all that was written is synced
	return repairTree(ctx, tree, dir, opts)
}

func repairTree(ctx context.Context, tree tree, dir string, opts CheckOptions) (*Repaired, error) {
	if err := errors.Join(newChecker(tree, opts).something(), refuseUnfinished(tree)); err != nil {
		return nil, fmt.Errorf("repair %s: %w", dir, err)
	}
	lock, err := tree.Lock(lockName)
	if err != nil {
		return nil, fmt.Errorf("repair: %w", err)
	}
	r := &repairer{tree: tree, opts: opts, out: &Repaired{}}
	if err := errors.Join(r.run(ctx), lock.Close()); err != nil {
		return r.out, fmt.Errorf("repair %s: %w", dir, err)
	}
	return r.out, nil
}

// something returns ErrNoLog if there is no log, before a lock file is made.
func (c *checker) something() error {
	var there [2]bool
	for i, dir := range []string{journalDir, kindDir(eventlog.KindCart)} {
		var err error
		if there[i], err = c.isDir(dir); err != nil {
			return err
		}
	}
	if !there[0] && !there[1] {
		return ErrNoLog
	}
	return nil
}

// repairer mends a directory.
type repairer struct {
	tree  tree
	opts  CheckOptions
	out   *Repaired
	lost  []journal.Lost
	look  *checker // the last one
	drops map[string]map[uint64]bool
}

func (r *repairer) run(ctx context.Context) error {
	for round := 0; ; round++ {
		r.look = newChecker(r.tree, r.opts)
		r.look.alone = true
		if err := r.look.verify(ctx); err != nil {
			return err
		}
		r.out.After = r.look.report
		faults := r.look.report.Faults
		if round == 0 {
			r.out.Found = faults
		}
		if len(faults) == 0 {
			r.missing()
			return nil
		}
		if i := slices.IndexFunc(faults, func(f Finding) bool { return f.Kind == NewerLine }); i >= 0 {
			return fmt.Errorf("%s at %d: %w: %s", faults[i].File, faults[i].Offset, ErrNewerFormat, faults[i].Detail)
		}
		if round == repairRounds {
			return fmt.Errorf("%w: %d faults are left", ErrNotRepaired, len(faults))
		}
		if err := r.mendAll(ctx, faults); err != nil {
			return err
		}
	}
}

// mendAll does something about each fault.
func (r *repairer) mendAll(ctx context.Context, faults []Finding) error {
	if err := r.keepingDir(); err != nil {
		return err
	}
	files := make(map[string]bool)
	r.drops = make(map[string]map[uint64]bool)
	resetJournal := false
	for _, f := range faults {
		switch {
		case f.Kind == WrongPlace || f.Kind == BadName || f.Kind == NoFile:
			if err := r.misplaced(f); err != nil {
				return err
			}
		case f.File == journalDir || strings.HasPrefix(f.File, journalDir+"/"):
			resetJournal = true
		case f.Kind == BadSnapshot || f.Kind == SnapshotLog || f.Kind == SnapshotDiffer:
			r.did("%s: set aside, the log is replayed instead", f.File)
			if f.beyond {
				r.out.Lost = append(r.out.Lost, fmt.Sprintf("%s: its end, if its snapshot was right: %s", f.stream, f.Detail))
			}
			if err := r.setAside(f.File); err != nil {
				return err
			}
		case f.stream == "": // a stream that is in the journal alone
			files[f.File] = true
		default:
			files[f.stream] = true
			if f.Kind == PositionTwice {
				if r.drops[f.stream] == nil {
					r.drops[f.stream] = make(map[uint64]bool)
				}
				r.drops[f.stream][f.pos] = true
			}
		}
	}
	if resetJournal { // its lines go to the files before it is set aside; archives have them all
		for path := range r.look.records {
			if a := r.look.beside[path]; !a.archived || !a.alone {
				files[path] = true
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := r.mend(ctx, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if resetJournal {
		return r.resetJournal()
	}
	return nil
}

func (r *repairer) did(format string, args ...any) {
	r.out.Done = append(r.out.Done, fmt.Sprintf(format, args...))
}

// misplaced puts a file in its place, or sets it aside. A sealed part that does not belong to the log there is not in
// force; a snapshot goes nowhere, since the log has all it says.
func (r *repairer) misplaced(f Finding) error {
	if f.Kind == WrongPlace {
		_, sort, _ := parseName(f.place) // an archive is otherFile
		if _, err := r.tree.Mode(f.place); isNotExist(err) && sort != savedState {
			r.did("%s: moved to %s", f.File, f.place)
			return errors.Join(r.mkdir(parentDir(f.place)), r.move(f.File, f.place))
		}
	}
	r.did("%s: set aside", f.File)
	return r.setAside(f.File)
}

// resetJournal sets the segments aside and lets a new journal begin behind all that is known.
func (r *repairer) resetJournal() error {
	survey := r.look.survey
	r.lost = append(r.lost, survey.Lost...)
	state := survey.End()
	state.Position = max(state.Position, r.look.seen.max)
	if state.ID == (journal.ID{}) {
		state = journal.NewState(state.Position)
	}
	if err := r.mkdir(journalDir); err != nil {
		return err
	}
	if _, err := r.keepCopy(journalDir + "/checkpoint"); err != nil {
		return err
	}
	if err := journal.WriteCheckpoint(r.tree, journalDir, state, true); err != nil {
		return err
	}
	for _, name := range survey.Segments {
		if err := r.setAside(name); err != nil {
			return err
		}
	}
	r.did("journal: %d sound frames were saved to the carts' files, its %d segments are set aside, it goes on behind position %d",
		len(survey.Frames), len(survey.Segments), state.Position)
	return nil
}

// missing tells which of the positions that damaged frames had are in no file.
func (r *repairer) missing() {
	last := r.look.survey.End().Position
	for _, l := range r.lost {
		to := min(l.To, last)
		if l.To == 0 {
			to = last
		}
		if l.From > to {
			if l.To == 0 {
				r.out.Lost = append(r.out.Lost, fmt.Sprintf("events behind position %d, how many nobody knows", l.From-1))
			}
			continue
		}
		if n := to - l.From + 1 - (r.look.seen.count(to) - r.look.seen.count(l.From-1)); n > 0 {
			r.out.Lost = append(r.out.Lost, fmt.Sprintf("%d events among positions %d to %d", n, l.From, to))
		}
	}
}
