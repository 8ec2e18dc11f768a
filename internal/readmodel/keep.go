package readmodel

import (
	"context"
	"errors"
	"time"

	"cartd/internal/eventlog"
	"cartd/internal/grain"
)

const (
	// batchCarts is how many carts are written at once.
	batchCarts = 4096
	// restFactor bounds the share of time that the model takes from those who serve: after a round it rests so many
	// times as long as that took.
	restFactor = 3
	// closeTime bounds the last round.
	closeTime = 5 * time.Second
	// again is how long it waits after an error.
	again = 10 * time.Second
)

// run keeps the rows up to date until ctx ends.
func (m *Model) run(ctx context.Context) {
	for ctx.Err() == nil {
		if m.low() { // what room there is is not the model's to take
			if !m.sleep(ctx, m.opts.Every) {
				return
			}
			continue
		}
		if !m.ready.Load() {
			if err := m.build(ctx); err != nil {
				if !m.rest(ctx, again, "build the list of carts", err) {
					return
				}
				continue
			}
		}
		if !m.wait(ctx) {
			break
		}
		if !m.ready.Load() {
			continue
		}
		if m.low() {
			continue
		}
		start := time.Now()
		if err := m.round(ctx); err != nil {
			m.opts.Metrics.Lag.Set(float64(m.opts.Store.Head() - m.position)) // no write says so
			if !m.rest(ctx, again, "bring the list of carts up to date", err) {
				return
			}
			continue
		}
		m.pause(ctx, max(m.opts.Every, restFactor*time.Since(start)))
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if m.ready.Load() && !m.low() {
		_ = m.round(last) // what it does not get to is in the log
	}
}

// wait returns when the log may have something new, or somebody asks; false when it is over.
func (m *Model) wait(ctx context.Context) bool {
	select {
	case <-m.opts.Store.Changed(m.position):
	case <-m.asked:
	case <-ctx.Done():
		return false
	}
	if m.broken.Swap(false) {
		m.ready.Store(false)
	}
	return true
}

// pause waits until somebody asks, as long as d at the most.
func (m *Model) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.asked:
	case <-ctx.Done():
	}
}

// rest waits after an error; it returns false when there is no going on.
func (m *Model) rest(ctx context.Context, d time.Duration, what string, err error) bool {
	if ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed) || errors.Is(err, eventlog.ErrFailed) {
		return false
	}
	_, compacted := errors.AsType[*eventlog.CompactedError](err)
	if compacted || errors.Is(err, eventlog.ErrCorrupt) || errors.Is(err, errUnusable) {
		m.opts.Logger.Warn(what+": it is built anew", "error", err)
		m.ready.Store(false)
		m.rows.Advance(m.rows.Head()) // who waits hears of it
		return true
	}
	m.opts.Logger.Error(what, "error", err)
	return m.sleep(ctx, d)
}

// low reports whether the disk is too full to be written to.
func (m *Model) low() bool { return errors.Is(m.opts.Store.Writable(), eventlog.ErrLowSpace) }

// sleep waits; it returns false when there is no going on.
func (m *Model) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-m.opts.Store.Failed():
	case <-ctx.Done():
	}
	return false
}

// round brings the rows forward: as far as all was told of, or else, by the feed, to the log's end as it is now.
func (m *Model) round(ctx context.Context) error {
	told, upTo, whole := m.notes.take()
	head := m.opts.Store.Head()
	trusted := m.trusted && whole && upTo > m.position
	m.trusted = false // what was taken is lost if this fails
	if trusted {
		rows := make([]*grain.Summary, 0, len(told))
		for _, known := range told {
			rows = append(rows, known.Summary)
		}
		if err := m.write(rows, min(upTo, head)); err != nil {
			return err
		}
	} else if err := m.follow(ctx, head, told); err != nil {
		return err
	}
	m.trusted = true
	return nil
}

// follow reads the feed as far as to head. What told has of a cart need not be read.
func (m *Model) follow(ctx context.Context, head uint64, told map[string]note) error {
	if m.position >= head { // nothing is new, or the log is closed
		for _, err := range m.opts.Store.ReadAll(ctx, head) {
			return err
		}
	}
	for m.position < head {
		changed, last, err := m.changed(ctx, head)
		if err != nil {
			return err
		}
		rows := make([]*grain.Summary, 0, len(changed))
		for id, version := range changed {
			row := told[id.Name()].Summary
			if row == nil || row.Version < version {
				if row, err = m.summary(ctx, id, version); err != nil {
					return err
				}
			}
			if row != nil {
				rows = append(rows, row)
			}
		}
		if err := m.write(rows, last); err != nil {
			return err
		}
	}
	m.notes.told(0, m.position)
	return nil
}

// changed returns the carts that have changed since the rows were written, with their versions, as far as to last.
func (m *Model) changed(ctx context.Context, head uint64) (carts map[eventlog.StreamID]uint64, last uint64, err error) {
	carts, last = make(map[eventlog.StreamID]uint64), m.position
	for ev, err := range m.opts.Store.ReadAll(ctx, m.position) {
		if err != nil {
			return nil, 0, err
		}
		if ev.Stream.Kind() == eventlog.KindCart && ev.Branch == "" {
			carts[ev.Stream] = ev.Version
		}
		if last = ev.Position; last == head || len(carts) == batchCarts {
			break
		}
	}
	return carts, last, nil
}

// summary returns what a cart is at version or a later one: as it was told, or out of its log. Nil is a cart that
// cannot be read: its row stays as it is.
func (m *Model) summary(ctx context.Context, id eventlog.StreamID, version uint64) (*grain.Summary, error) {
	if s := m.notes.get(id.Name(), version); s != nil {
		return s, nil
	}
	m.opts.Metrics.Reads.Inc()
	s, err := m.opts.Read(ctx, id)
	switch {
	case err == nil && s.Version > 0:
		return &s, nil
	case err == nil:
		return nil, nil
	case ctx.Err() != nil, errors.Is(err, eventlog.ErrClosed), errors.Is(err, eventlog.ErrFailed):
		return nil, err
	}
	m.opts.Logger.Error("cart is not in the list of carts: it cannot be read", "cart", id.Name(), "error", err)
	return nil, nil
}

// write stores rows with the position that they lead to.
func (m *Model) write(rows []*grain.Summary, position uint64) error {
	for ; len(rows) > batchCarts; rows = rows[batchCarts:] {
		if err := write(m.db, rows[:batchCarts], nil); err != nil {
			return err
		}
	}
	head := m.opts.Store.Head() // rows may be newer than position
	s := state{Schema: schema, Incarnation: m.opts.Store.Incarnation().String(), Position: position, Head: head}
	if err := write(m.db, rows, &s); err != nil {
		return err
	}
	m.position = position
	m.pin.Move(position)
	m.rows.Advance(position)
	m.opts.Metrics.Lag.Set(float64(head - position))
	return nil
}

// build makes the database anew from the carts' logs. What changes meanwhile is in the feed behind the position that it
// begins at.
func (m *Model) build(ctx context.Context) error {
	start, told := time.Now(), time.Now()
	m.opts.Metrics.Builds.Inc()
	m.trusted = false // the first round reads the feed, whatever was told of the database before
	from := m.opts.Store.Head()
	m.pin.Move(from)
	if err := m.replace(); err != nil {
		return err
	}
	m.db.NoSync = true // it is of no use before its end
	carts, rows := 0, make([]*grain.Summary, 0, batchCarts)
	for id, err := range m.opts.Store.Streams(ctx) {
		if err != nil {
			return err
		}
		if id.Kind() != eventlog.KindCart {
			continue
		}
		row, err := m.summary(ctx, id, 1)
		if err != nil {
			return err
		}
		if row == nil {
			continue
		}
		if rows = append(rows, row); len(rows) == batchCarts {
			if err := write(m.db, rows, nil); err != nil {
				return err
			}
			rows = rows[:0]
		}
		if carts++; time.Since(told) > 2*time.Second {
			told = time.Now()
			m.opts.Logger.Info("the list of carts is being built", "carts", carts)
		}
	}
	if err := write(m.db, rows, nil); err != nil {
		return err
	}
	m.db.NoSync = false
	if err := m.db.Sync(); err != nil {
		return err
	}
	if err := m.write(nil, from); err != nil {
		return err
	}
	m.ready.Store(true)
	m.rows.Advance(from) // who waits for the build hears of it
	m.opts.Logger.Info("the list of carts was built", "carts", carts, "took", time.Since(start))
	return m.round(ctx)
}

// replace puts an empty database in the place of the one that is there.
func (m *Model) replace() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.db != nil {
		if err := m.db.Close(); err != nil {
			m.opts.Logger.Warn("close the list of carts", "error", err)
		}
		m.db = nil
	}
	db, err := freshDB(m.path)
	if err != nil {
		return err
	}
	m.db = db
	return nil
}
