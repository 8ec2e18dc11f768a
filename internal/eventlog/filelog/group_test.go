package filelog

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestCommitterSleepsUntilEnoughIsReady looks at how long it does.
func TestCommitterSleepsUntilEnoughIsReady(t *testing.T) {
	const d = time.Millisecond
	for name, tt := range map[string]struct {
		ready int // when the sleep begins
		come  int // each a tenth of d later than the one before
		close bool
		want  time.Duration
	}{
		"nobody comes":       {want: d},
		"some come":          {ready: 1, come: 1, want: d},
		"enough come":        {ready: 1, come: 5, want: 2 * d / 10},
		"enough are there":   {ready: 3, want: 0},
		"the log is closed":  {ready: 1, come: 1, close: true, want: d / 10},
		"it is closed first": {close: true, want: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &Log{ready: make([]*stream, tt.ready), closed: tt.close && tt.come == 0}
				l.work.L = &l.qmu
				var wg sync.WaitGroup
				wg.Go(func() {
					for range tt.come {
						time.Sleep(d / 10)
						if err := l.schedule(&stream{}); err != nil {
							t.Error(err)
						}
					}
					if tt.close {
						l.qmu.Lock()
						defer l.qmu.Unlock()
						l.closed = true
						l.work.Broadcast()
					}
				})
				start := time.Now()
				l.await(3, d)
				took := time.Since(start)
				wg.Wait()
				if took != tt.want {
					t.Errorf("slept %v, want %v", took, tt.want)
				}
				if l.wanted != 0 {
					t.Errorf("%d are wanted afterwards: one alone would not be noticed", l.wanted)
				}
			})
		})
	}
}

func TestCommitterIsNotPatientWithADiskThatHangs(t *testing.T) {
	const µs, ms = time.Microsecond, time.Millisecond
	for synced, want := range map[time.Duration]time.Duration{
		0: 0, 100 * µs: 300 * µs, 400 * µs: ms, ms: ms, 2 * ms: ms, 6 * ms: 3 * ms, 20 * ms: 10 * ms, 10 * time.Second: 10 * ms,
	} {
		if got := patience(synced); got != want {
			t.Errorf("behind a sync of %v: %v, want %v", synced, got, want)
		}
	}
}
