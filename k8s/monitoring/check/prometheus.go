package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Prometheus is a server of Debian's package, or of any other version.
type Prometheus struct {
	URL string
}

// StartPrometheus starts a Prometheus on loopback with the configuration and the rules of k8s/monitoring, but for the address
// of ops, the intervals, which are all every, and what [hasten] does. It ends with the test. The test is skipped when there is no Prometheus.
func StartPrometheus(t testing.TB, ops, every string) *Prometheus {
	t.Helper()
	exe, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("SKIPPED: no real Prometheus has scraped cartd: prometheus is not on the PATH (Debian: apt-get install prometheus; `make test` does so as root)")
	}
	dir := t.TempDir()
	intervals := regexp.MustCompile(`(?m)^(\s*(?:- )?(?:scrape_|evaluation_)?interval:\s*)\S+`)
	copyTo := func(from, to string, change func(string) string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, []byte(change(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target := strings.TrimPrefix(ops, "http://")
	copyTo("../prometheus.yaml", filepath.Join(dir, "prometheus.yaml"), func(s string) string {
		if !strings.Contains(s, `"127.0.0.1:8081"`) {
			t.Fatal("prometheus.yaml does not scrape 127.0.0.1:8081, where cartd's operations port is unless it is told otherwise")
		}
		return intervals.ReplaceAllString(strings.Replace(s, "127.0.0.1:8081", target, 1), "${1}"+every)
	})
	for _, file := range RuleFiles(t) {
		copyTo(file, filepath.Join(dir, "rules", filepath.Base(file)), func(s string) string {
			return hasten(intervals.ReplaceAllString(s, "${1}"+every))
		})
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	cmd.Stdout, cmd.Stderr = log, log
	endWithParent(cmd)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() //nolint:errcheck // its log says what it ended with
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-ended
		log.Close()
		if text, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("prometheus wrote:\n%s", text)
		}
	})
	p := &Prometheus{URL: "http://" + address}
	Eventually(t, "Prometheus is ready", func() bool {
		select {
		case <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("Prometheus has ended:\n%s", text)
		default:
		}
		resp, err := client.Get(p.URL + "/-/ready")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

var subquery = regexp.MustCompile(`\[\w+:\w+\]`)

// hasten has the subqueries of rules look each second at ten minutes. A step of five minutes is one that the clock ends: who
// has begun since the last one would wait that long for a number.
func hasten(rules string) string { return subquery.ReplaceAllString(rules, "[10m:1s]") }

// RuleFiles returns the rule files of k8s/monitoring.
func RuleFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../rules/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// Series is one of a query's answer.
type Series struct {
	Labels map[string]string
	Value  float64
}

// Query evaluates expr now. The error is Prometheus' own, of an expression that it does not take.
func (p *Prometheus) Query(ctx context.Context, expr string) ([]Series, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/api/v1/query?query="+url.QueryEscape(expr), nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Status, Error string
		Data          struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s: %w: %.200s", expr, err, text)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("%s: %s", expr, answer.Error)
	}
	type point [2]any
	number := func(v point) float64 {
		text, _ := v[1].(string)
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			panic(fmt.Sprintf("%s: %v is no number", expr, v)) // of Prometheus' own making
		}
		return f
	}
	if answer.Data.ResultType == "scalar" {
		var v point
		if err := json.Unmarshal(answer.Data.Result, &v); err != nil {
			return nil, err
		}
		return []Series{{Value: number(v)}}, nil
	}
	var vector []struct {
		Metric map[string]string
		Value  point
	}
	if err := json.Unmarshal(answer.Data.Result, &vector); err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	var all []Series
	for _, s := range vector {
		all = append(all, Series{s.Metric, number(s.Value)})
	}
	return all, nil
}
