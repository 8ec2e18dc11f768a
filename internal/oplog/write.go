package oplog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// run gives the store what waits, until the log is closed.
func (l *Log) run(ctx context.Context) {
	defer close(l.done)
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval = retryMin, retryMax
	for open := true; open; {
		select {
		case <-l.some:
			timer := time.NewTimer(batchTime)
			select {
			case <-timer.C:
			case <-l.full:
			case <-l.closing:
			}
			timer.Stop()
		case <-l.closing:
		}
		select {
		case <-l.closing:
			open = false
		default:
		}
		l.flush(ctx, retry)
	}
	lost := l.end()
	err := l.opts.Store.Close()
	if lost > 0 {
		err = errors.Join(fmt.Errorf("%d operations could not be stored", lost), err)
	}
	l.mu.Lock()
	l.err = err
	l.mu.Unlock()
}

// flush stores all that waits. A batch that fails is tried again, for as long as it takes or until ctx ends.
func (l *Log) flush(ctx context.Context, retry *backoff.ExponentialBackOff) {
	closing := l.closing
	for failed := false; ctx.Err() == nil; {
		batch := l.take()
		if len(batch) == 0 {
			return
		}
		err := l.opts.Store.Append(ctx, batch)
		waiting, dropped := l.settle(err)
		if err == nil {
			if failed {
				l.opts.Logger.Info("operations are stored again")
			}
			failed = false
			retry.Reset()
			continue
		}
		if !failed {
			l.opts.Logger.Warn("operations cannot be stored; they are kept and tried again", "waiting", waiting, "error", err)
		}
		failed = true
		l.opts.Metrics.failures.Inc()
		if l.opts.Failed != nil {
			l.opts.Failed(err, waiting, dropped)
		}
		timer := time.NewTimer(retry.NextBackOff())
		select {
		case <-timer.C:
		case <-closing: // once more, and then as often as Close's context lets us
			closing = nil
			retry.Reset()
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// take takes the next batch.
func (l *Log) take() []Operation {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = l.waiting.take(batchSize)
	return l.writing
}

// settle ends a batch. One that failed waits again, in front of the others, as far as there is room.
func (l *Log) settle(err error) (waiting, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		over := max(0, len(l.writing)-(maxWait-l.waiting.len()))
		for i := len(l.writing) - 1; i >= over; i-- {
			l.waiting.unget(l.writing[i])
		}
		l.drop(over)
	}
	l.writing = nil
	return l.waiting.len(), l.dropped
}

// drop counts n operations that are lost. The caller holds mu.
func (l *Log) drop(n int) {
	l.dropped += n
	l.opts.Metrics.dropped.Add(float64(n))
}

// end lets go of what waits, and returns how many those are.
func (l *Log) end() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.waiting.take(maxWait))
	l.drop(n)
	return n
}
