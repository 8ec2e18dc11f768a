package actor

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"
)

// Rebuild returns the state that a log's events make, as an activation has it after its replay, and what is known of main;
// without an activation: nothing is claimed, counted or observed. replay is as that of [Claim]; a log without events gives
// the zero state, with Info.Version 0. It is not for what is going to be changed: another activation may be doing that.
func Rebuild[S any](cfg Config[S], id string, replay func(load func(data []byte) error) iter.Seq2[Event, error]) (*S, Info, error) {
	r, err := RebuildAt(cfg, id, Moment{}, replay)
	if err != nil {
		return nil, Info{}, err
	}
	return r.State(), r.Info(""), nil
}

// Moment is a place in the history of a branch. The zero value is the present of main.
type Moment struct {
	Branch  string    // "" is main
	Version uint64    // up to this event of the branch; 0: as far as there are events
	At      time.Time // up to the last event that is not after, of any branch; zero: as far as there are events
}

// ErrTooNew is what load returns for a snapshot from behind the moment that is asked for.
var ErrTooNew = errors.New("snapshot is newer than what is asked for")

// Rebuilt is a state that a log's events made once. For one goroutine at a time.
type Rebuilt[S any] struct{ past past[S] }

// State returns the state.
func (r *Rebuilt[S]) State() *S { return r.past.state }

// Info returns what was known of a branch, "" is main. Its Version is 0 if the branch had no events then.
func (r *Rebuilt[S]) Info(branch string) Info { return r.past.infoOf(branch) }

// RebuildAt is [Rebuild] up to a moment. If the moment's version never was, or all events of its branch came later, that
// shows in the Info of the branch. A snapshot that is newer than the moment is refused with ErrTooNew.
func RebuildAt[S any](cfg Config[S], id string, m Moment, replay func(load func(data []byte) error) iter.Seq2[Event, error]) (*Rebuilt[S], error) {
	cfg.Observer, cfg.Logger = nobody{}, slog.New(slog.DiscardHandler) // the activations tell
	cfg = cfg.withDefaults()
	p := past[S]{cfg: &cfg, id: id, state: new(S), info: Info{ID: id}}
	var load func([]byte) error
	if cfg.Snapshots != nil {
		load = func(data []byte) (err error) {
			from := past[S]{cfg: &cfg, id: id}
			if from.state, err = from.load(data); err != nil {
				return err
			}
			last := m.Version
			if m.Branch != "" && last > 0 {
				last-- // behind that version, other branches may have changed what they have in common
			}
			if m.Version > 0 && from.head(m.Branch).Version > last || !m.At.IsZero() && from.latest.After(m.At) {
				return ErrTooNew
			}
			p = from
			return nil
		}
	}
	for ev, err := range replay(load) {
		if err != nil {
			return nil, fmt.Errorf("read %s %s after version %d: %w", cfg.Kind, id, p.info.Version, err)
		}
		if m.before(&ev, p.head(m.Branch).Version > 0) {
			break
		}
		if err := p.reapply(p.state, ev); err != nil { // of a newer schema
			return nil, fmt.Errorf("read %s %s, version %d: %w", cfg.Kind, id, ev.Version, err)
		}
		if m.Version > 0 && ev.Branch == m.Branch && ev.Version == m.Version {
			break
		}
	}
	return &Rebuilt[S]{p}, nil
}

// before reports whether the moment is over when the event comes; begun says whether its branch has had one. What
// the branches have in common is of the moment, too. Only the times of logs that were taken over may go back, and those
// are from before the first branch.
func (m *Moment) before(ev *Event, begun bool) bool {
	if ev.Branch != m.Branch && !begun {
		return false
	}
	return ev.Branch == m.Branch && m.Version > 0 && ev.Version > m.Version || !m.At.IsZero() && !ev.Damaged && ev.Time.After(m.At)
}
