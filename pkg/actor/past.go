package actor

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// past is what the events of a log have made, whoever replays them.
type past[S any] struct {
	cfg    *Config[S]
	id     string
	state  *S
	info   Info             // of main
	heads  map[string]*Info // of the other branches, those that are closed included; nil if there never was one
	latest time.Time        // of the last event of any branch
	keys   keyring
	events uint64 // in the log, those not decided included

	// unsure is set when an event was left out because this program does not know it, or failed on it. Another program
	// may do better, so what comes after is not for snapshots.
	unsure bool
}

// reapply applies one event of the log. What cannot be applied is skipped and told: part of a cart is better than
// none, and silence is not. The error is ErrNewerSchema: that is no damage, and a newer program can apply it.
func (p *past[S]) reapply(state *S, ev Event) error {
	p.events++
	info := p.head(ev.Branch)
	p.keep(info)
	info.Version = ev.Version
	if ev.Damaged {
		p.info.Damaged = true
		return nil
	}
	last := p.info.changed()
	p.touch(info, ev.Time)
	if ev.Branch == "" {
		p.info.Foreign = ev.foreign()
	}
	if ev.Key != "" {
		p.keys.add(ev.Key, ev.Request)
	}
	if ev.Type == typeNoChange {
		return nil
	}
	m, err := p.cfg.Replay.Decode(ev.Type, ev.Payload)
	if errors.Is(err, ErrNewerSchema) {
		return err
	}
	if err != nil {
		// Nobody knows what it would have done; a refusal, below, is known to have done nothing.
		if !slices.Contains(p.cfg.Requests, ev.Type) {
			p.info.Damaged, p.unsure = true, true
		}
	} else {
		err = p.applyContained(state, m, Meta{Time: ev.Time, Branch: ev.Branch, Version: ev.Version, ID: ev.ID, Last: last})
	}
	if err != nil && !errors.Is(err, NoChange) {
		p.cfg.Observer.EventSkipped(p.cfg.Kind, p.id, ev, err)
	}
	return nil
}

// applyContained is Replay.Apply: a handler that panics must not make its cart unreadable for ever.
func (p *past[S]) applyContained(state *S, m Mutation, meta Meta) (err error) {
	defer func() {
		if r := recover(); r != nil {
			p.cfg.Observer.Panicked(p.cfg.Kind, p.id, r)
			p.info.Damaged, p.unsure = true, true
			err = fmt.Errorf("handler panicked: %v", r)
		}
	}()
	return p.cfg.Replay.Apply(state, m, meta)
}

// touch notes an event of the branch that info is about.
func (p *past[S]) touch(info *Info, t time.Time) {
	if info.Created.IsZero() {
		info.Created = t
	}
	info.Updated, p.latest = t, t
}
