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
		least := batchSize
		if !open {
			least = 1
		}
		l.flush(ctx, retry, least)
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

// flush stores what waits, and what comes meanwhile, until it is fewer than least. A batch that fails is tried again, for
// as long as it takes or until ctx ends.
func (l *Log) flush(ctx context.Context, retry *backoff.ExponentialBackOff, least int) {
	closing := l.closing
	for failed := false; ctx.Err() == nil; {
		l.take()
		if len(l.batch) == 0 {
			return
		}
		err := l.opts.Store.Append(ctx, l.batch)
		waiting, dropped := l.settle(err)
		if err == nil {
			if failed {
				l.opts.Logger.Info("operations are stored again")
			}
			failed = false
			retry.Reset()
			if waiting < least {
				if waiting > 0 {
					signal(l.some)
				}
				return
			}
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

// take makes the oldest that wait the next batch. They stay in the ring.
func (l *Log) take() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = min(batchSize, l.waiting)
	l.batch = l.batch[:0]
	for i := range l.writing {
		l.batch = append(l.batch, *l.ring.get(l.ring.len() - l.waiting + i))
	}
}

// settle ends a batch. One that failed waits again, as far as it is in the ring.
func (l *Log) settle(err error) (waiting, dropped int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.drop(l.gone)
	} else {
		l.waiting -= l.writing
	}
	l.writing, l.gone = 0, 0
	return l.waiting, l.dropped
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
	n := l.waiting
	l.waiting = 0
	l.drop(n)
	return n
}
