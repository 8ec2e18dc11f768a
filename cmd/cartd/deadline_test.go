package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// trial is something that is done to a connection, wait after what was done before it.
type trial struct {
	do       string // read, write, feed or drain (by the other end), deadline, read deadline, write deadline
	deadline time.Duration
	wait     time.Duration
}

const none, past = time.Duration(0), -time.Hour

// outcomes are what becomes of the reads and writes of script, on one end of a pipe that wrap wraps, and when.
func outcomes(script []trial, wrap func(net.Conn) net.Conn) []string {
	near, far := net.Pipe()
	conn, began := wrap(near), time.Now()
	var log []string
	ended := make(chan string, 2*len(script)+2) // all that can end
	var reading, writing atomic.Bool
	begin := func(what string, busy *atomic.Bool, f func([]byte) (int, error)) {
		if busy.Swap(true) {
			return
		}
		go func() {
			n, err := f(make([]byte, 3))
			busy.Store(false)
			ended <- fmt.Sprintf("%s at %v: %d %v", what, time.Since(began), n, errors.Is(err, os.ErrDeadlineExceeded))
		}()
	}
	for _, s := range script {
		time.Sleep(s.wait)
		synctest.Wait()
		at := time.Time{}
		if s.deadline != none {
			at = time.Now().Add(s.deadline)
		}
		switch s.do {
		case "read":
			begin("read", &reading, conn.Read)
		case "write":
			begin("write", &writing, conn.Write)
		case "feed":
			if reading.Load() {
				far.Write([]byte{1}) //nolint:errcheck // a pipe that is open
			}
		case "drain":
			if writing.Load() {
				far.Read(make([]byte, 1)) //nolint:errcheck // as above
			}
		case "deadline":
			conn.SetDeadline(at) //nolint:errcheck // as above
		case "read deadline":
			conn.SetReadDeadline(at) //nolint:errcheck // as above
		case "write deadline":
			conn.SetWriteDeadline(at) //nolint:errcheck // as above
		}
		synctest.Wait()
	}
	time.Sleep(time.Hour)
	synctest.Wait()
	log = append(log, fmt.Sprintf("in the end a read waits: %v, a write waits: %v", reading.Load(), writing.Load()))
	near.Close()
	synctest.Wait()
	close(ended)
	for line := range ended {
		log = append(log, line)
	}
	slices.Sort(log) // what ends at the same moment has no order
	return log
}

func TestDeadlinesThatAreNotToldAreKept(t *testing.T) {
	things := rapid.Custom(func(t *rapid.T) trial {
		return trial{
			do: rapid.SampledFrom([]string{"read", "write", "feed", "drain", "deadline", "read deadline", "write deadline"}).Draw(t, "do"),
			// Never at the moment of another thing.
			deadline: rapid.SampledFrom([]time.Duration{none, past, 500 * time.Microsecond, 1500 * time.Microsecond, 4500 * time.Microsecond}).Draw(t, "deadline"),
			wait:     time.Duration(rapid.IntRange(0, 3).Draw(t, "wait")) * time.Millisecond,
		}
	})
	rapid.Check(t, func(rt *rapid.T) {
		script := rapid.SliceOfN(things, 1, 30).Draw(rt, "script")
		var want, got []string
		synctest.Test(t, func(*testing.T) {
			want = outcomes(script, func(c net.Conn) net.Conn { return c })
		})
		synctest.Test(t, func(*testing.T) {
			got = outcomes(script, func(c net.Conn) net.Conn { u := unhurry(c); return &u })
		})
		if d := cmp.Diff(want, got); d != "" {
			rt.Errorf("otherwise than the connection itself (-want +got):\n%s", d)
		}
	})
}

// net/http ends the read that watches for the client's leaving with a deadline that has passed, in the moment that it
// begins or at any other.
func TestDeadlineEndsAReadThatJustBegins(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial(t, l.Addr().String())
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	conn := unhurry(accepted)
	ended := make(chan error)
	for range 2000 {
		go func() {
			_, err := conn.Read(make([]byte, 1))
			ended <- err
		}()
		conn.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // the read sees
		select {
		case err := <-ended:
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("a read whose deadline has passed: %v", err)
			}
		case <-time.After(patience):
			t.Fatal("a read goes on beyond its deadline")
		}
		conn.SetReadDeadline(time.Time{}) //nolint:errcheck // as above
	}
}

// What was written when a deadline came that is not meant any more is not written again.
func TestWriteThatWasWokenTooEarlyGoesOnWhereItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		u := unhurry(near)
		told := u.SetWriteDeadline(time.Now().Add(time.Second))
		wrote := make(chan error, 1)
		go func() {
			_, err := u.Write([]byte("abc"))
			wrote <- errors.Join(err, near.Close())
		}()
		synctest.Wait()
		meant := u.SetWriteDeadline(time.Now().Add(time.Hour))
		one := make([]byte, 1)
		_, first := far.Read(one)
		time.Sleep(time.Minute)
		rest, second := io.ReadAll(far)
		if got := string(one) + string(rest); got != "abc" {
			t.Errorf("got %q, want abc", got)
		}
		if err := errors.Join(told, meant, first, second, <-wrote); err != nil {
			t.Error(err)
		}
	})
}
