package api_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cartd/internal/api"
)

// BenchmarkAddsBesideReadersThatReadNothing is adds over HTTP to 16 carts by 16 writers, with and without 2 streams of the
// feed, which has all the adds, and 2 of a cart, whose readers take nothing: in turn, so that both meet the same machine. No disk is
// in it, so that the streams' share is as large as can be. %slowdown is the median of the rounds.
func BenchmarkAddsBesideReadersThatReadNothing(b *testing.B) {
	const writers, adds = 16, 40 // a round is some 640 adds
	s := openShop(b, func(o *api.Options) { o.Streams.Patience = time.Hour })
	big := s.newCart()
	for range 10 { // 8 MB: more than sockets hold
		s.want(s.request("POST", big+"/mutations", bigBatch(), asBackend...), 200, "")
	}
	var carts []string
	for range writers {
		carts = append(carts, s.newCart())
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
	round := func() time.Duration {
		runtime.GC() // what opening the streams has left is not asked about
		start := time.Now()
		var wg sync.WaitGroup
		for _, cart := range carts {
			wg.Go(func() {
				for range adds {
					resp, err := client.Post(s.url+cart+"/items", "application/json", strings.NewReader(addLantern))
					if err != nil {
						b.Error(err)
						return
					}
					io.Copy(io.Discard, resp.Body) //nolint:errcheck // of a benchmark
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
		return time.Since(start)
	}
	silent := func() (leave func()) {
		var conns []net.Conn
		for _, path := range []string{"/v1/events", big + "/events", "/v1/events", big + "/events"} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				b.Fatal(err)
			}
			conn.(*net.TCPConn).SetReadBuffer(4 << 10) //nolint:errcheck // then it takes more to fill it
			fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nAccept: text/event-stream\r\n\r\n", path, token)
			conns = append(conns, conn)
		}
		s.eventually("all are open", func() bool { return s.gauge("cartd_streams_open") == float64(len(conns)) })
		for sent := -1.0; sent != s.gauge("cartd_stream_events_total"); time.Sleep(20 * time.Millisecond) {
			sent = s.gauge("cartd_stream_events_total") // until none of them goes on
		}
		return func() {
			for _, conn := range conns {
				conn.Close()
			}
			s.eventually("all are gone", func() bool { return s.gauge("cartd_streams_open") == 0 })
		}
	}
	round()
	var ratios []float64
	for b.Loop() {
		without := round()
		leave := silent()
		with := round() + round()
		leave()
		without += round()
		ratios = append(ratios, float64(with)/float64(without))
	}
	slices.Sort(ratios)
	b.ReportMetric(100*(ratios[len(ratios)/2]-1), "%slowdown")
	b.ReportMetric(0, "ns/op")
}
