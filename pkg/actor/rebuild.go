package actor

import (
	"fmt"
	"iter"
	"log/slog"
)

// Rebuild returns the state that a log's events make, as an activation has it after its replay, without an activation:
// nothing is claimed, counted or observed. replay is as that of [Claim]; a log without events gives the zero state, with
// Info.Version 0. It is not for what is going to be changed: another activation may be doing that.
func Rebuild[S any](cfg Config[S], id string, replay func(load func(data []byte) error) iter.Seq2[Event, error]) (*S, Info, error) {
	cfg.Observer, cfg.Logger = nobody{}, slog.New(slog.DiscardHandler) // the activations tell
	cfg = cfg.withDefaults()
	g := &grain[S]{past: past[S]{cfg: &cfg, id: id, info: Info{ID: id}}}
	state := new(S)
	for ev, err := range replay(g.loader(&state)) {
		if err != nil {
			return nil, Info{}, fmt.Errorf("read %s %s after version %d: %w", cfg.Kind, id, g.info.Version, err)
		}
		if err := g.reapply(state, ev); err != nil { // of a newer schema
			return nil, Info{}, fmt.Errorf("read %s %s, version %d: %w", cfg.Kind, id, ev.Version, err)
		}
	}
	return state, g.info, nil
}
