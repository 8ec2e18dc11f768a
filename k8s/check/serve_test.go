package check

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
)

// bin is a directory for the cartd of this tree, and other things that tests make.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = os.MkdirTemp("", "cartd-k8s-check-"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(bin) //nolint:errcheck // it is among temporary files
	os.Exit(code)
}

// buildCartd builds the cartd of this tree, once.
var buildCartd = sync.OnceValue(func() error {
	build := exec.Command("go", "build", "-trimpath", "-o", bin, "./cmd/cartd") // as make build, whose packages it finds built
	build.Dir, build.Env = filepath.Join(root, ".."), append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", build, err, output)
	}
	return nil
})

func serve(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if err := buildCartd(); err != nil {
		t.Fatal(err)
	}
	return exec.Command(filepath.Join(bin, "cartd"), append([]string{"serve"}, args...)...)
}

// flags returns the flags of `cartd serve` by their variables, with their defaults.
func flags(t *testing.T) map[string]string {
	t.Helper()
	help, err := serve(t, "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, flag := range regexp.MustCompile(`(?s)--[a-z-]+(?:="?([^"\s]*)"?)?\s.*?\(?\$(CARTD_[A-Z_]+)`).FindAllStringSubmatch(string(help), -1) {
		found[flag[2]] = flag[1]
	}
	if len(found) < 40 || found["CARTD_SHUTDOWN_TIMEOUT"] != "20s" {
		t.Fatalf("the help was not understood: %v", found)
	}
	return found
}

// environment returns the variables of a container that manifests set to a value, and those that come from elsewhere as "".
func environment(m manifests, c *core.Container) map[string]string {
	env := map[string]string{}
	for _, source := range c.EnvFrom {
		for _, values := range all[*core.ConfigMap](m) {
			if source.ConfigMapRef != nil && source.ConfigMapRef.Name == values.Name {
				for name, value := range values.Data {
					env[source.Prefix+name] = value
				}
			}
		}
	}
	for _, v := range c.Env {
		env[v.Name] = v.Value
	}
	return env
}

func TestEveryVariableIsAFlagOfCartd(t *testing.T) {
	known := flags(t)
	flagged := func(m manifests) (complaints []string) {
		for _, template := range templates(m) {
			for _, c := range template.pod.Spec.Containers {
				for name := range environment(m, &c) {
					if _, ok := known[name]; !ok && strings.HasPrefix(name, "CARTD_") {
						complaints = append(complaints, template.name+": "+name+" is no flag of cartd serve")
					}
				}
			}
		}
		return complaints
	}
	holds(t, flagged, map[string]spoil{
		"a misspelled variable of the map": func(m manifests) { first[*core.ConfigMap](m).Data["CARTD_LOG_FORMATT"] = "json" },
		"a misspelled variable of the pod": func(m manifests) { _, c := cartd(m); c.Env[0].Name = "CARTD_BACKEND_TOKENS" },
	})
}

func TestThereIsTimeToDrainAndToRecover(t *testing.T) {
	known := flags(t)
	timed := func(m manifests) (complaints []string) {
		for _, template := range templates(m) {
			complain := func(format string, args ...any) {
				complaints = append(complaints, template.name+": "+fmt.Sprintf(format, args...))
			}
			pod := &template.pod.Spec
			for _, c := range pod.Containers {
				if c.Name != "cartd" {
					continue
				}
				text, ok := environment(m, &c)["CARTD_SHUTDOWN_TIMEOUT"]
				if !ok {
					text = known["CARTD_SHUTDOWN_TIMEOUT"]
				}
				drain, err := time.ParseDuration(text)
				if err != nil {
					complain("%v", err)
				}
				if c.Lifecycle == nil || c.Lifecycle.PreStop == nil || c.Lifecycle.PreStop.Sleep == nil {
					complain("SIGTERM comes while requests still do")
				} else if need := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second + drain + 5*time.Second; pod.TerminationGracePeriodSeconds == nil || time.Duration(*pod.TerminationGracePeriodSeconds)*time.Second < need {
					complain("it is killed before it has had %v", need)
				}
				patience := func(p *core.Probe) time.Duration {
					if p == nil {
						return 0
					}
					return time.Duration(p.PeriodSeconds*p.FailureThreshold) * time.Second
				}
				if patience(c.StartupProbe) < 5*time.Minute {
					complain("a start may take %v", patience(c.StartupProbe))
				}
				// It is not asked before the startup probe succeeded, nor after SIGTERM.
				if patience(c.LivenessProbe) < 30*time.Second || c.LivenessProbe.HTTPGet.Path != "/healthz" {
					complain("a process that works may be killed: /readyz is 503 while it drains, and a disk may be slow")
				}
				if c.ReadinessProbe == nil || c.ReadinessProbe.HTTPGet.Path != "/readyz" {
					complain("requests come while it drains")
				}
			}
		}
		return complaints
	}
	holds(t, timed, map[string]spoil{
		"no time to drain":           func(m manifests) { pod, _ := cartd(m); pod.TerminationGracePeriodSeconds = new(int64(25)) },
		"the cluster's grace period": func(m manifests) { pod, _ := cartd(m); pod.TerminationGracePeriodSeconds = nil },
		"a longer drain":             func(m manifests) { first[*core.ConfigMap](m).Data["CARTD_SHUTDOWN_TIMEOUT"] = "1m" },
		"no pause before SIGTERM":    func(m manifests) { _, c := cartd(m); c.Lifecycle = nil },
		"a start in half a minute":   func(m manifests) { _, c := cartd(m); c.StartupProbe.FailureThreshold = 30 },
		"life that means readiness":  func(m manifests) { _, c := cartd(m); c.LivenessProbe.HTTPGet.Path = "/readyz" },
		"no patience":                func(m manifests) { _, c := cartd(m); c.LivenessProbe.FailureThreshold = 1 },
		"readiness that means life":  func(m manifests) { _, c := cartd(m); c.ReadinessProbe.HTTPGet.Path = "/healthz" },
	})
}

// cartd takes the configuration of overlays/single, its probes are answered, and without the Secret the backend's routes
// are shut. Addresses and directory are of the test; all else is as in the pod.
func TestCartdServesWithTheConfigurationOfThePod(t *testing.T) {
	built := mustBuild(t, single)
	_, container := cartd(built)
	env := environment(built, container)
	for name := range env {
		if source := slices.IndexFunc(container.Env, func(v core.EnvVar) bool { return v.Name == name }); source >= 0 {
			delete(env, name) // of the Secret, which is not there, or of the resources
			if q, ok := variable(container, name); ok {
				env[name] = fmt.Sprint(q.Value())
			}
		}
	}
	if env["GOMEMLIMIT"] != fmt.Sprint(704<<20) || env["GOMAXPROCS"] != "4" {
		t.Errorf("GOMEMLIMIT is %s and GOMAXPROCS %s", env["GOMEMLIMIT"], env["GOMAXPROCS"])
	}
	for name, want := range map[string]string{"CARTD_LISTEN": ":8080", "CARTD_OPS_LISTEN": ":8081"} {
		if env[name] != want {
			t.Errorf("%s is %q, want %q, as the ports of the container", name, env[name], want)
		}
		env[name] = "127.0.0.1:0"
	}
	mount := container.VolumeMounts[0].MountPath
	if !strings.HasPrefix(env["CARTD_DATA"], mount+"/") {
		t.Errorf("CARTD_DATA is %s, which is not below the volume at %s", env["CARTD_DATA"], mount)
	}
	env["CARTD_DATA"] = filepath.Join(t.TempDir(), env["CARTD_DATA"])

	server := serve(t)
	server.Args = append(server.Args[:1], container.Args...)
	for name, value := range env {
		server.Env = append(server.Env, name+"="+value)
	}
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Process.Kill() }) //nolint:errcheck // it has ended
	var serving struct{ Msg, API, Operations, Data string }
	lines := bufio.NewScanner(log)
	for serving.Msg != "serving" && lines.Scan() {
		if err := json.Unmarshal(lines.Bytes(), &serving); err != nil {
			t.Errorf("%s: %v", lines.Text(), err)
		}
	}
	if serving.Data != env["CARTD_DATA"] {
		t.Fatalf("it serves %+v, want %s", serving, env["CARTD_DATA"])
	}
	for _, probe := range []*core.Probe{container.StartupProbe, container.ReadinessProbe, container.LivenessProbe} {
		if status := get(t, serving.Operations+probe.HTTPGet.Path); status != http.StatusOK {
			t.Errorf("%s is answered %d", probe.HTTPGet.Path, status)
		}
	}
	if status := get(t, serving.API+"/v1/events"); status != http.StatusNotFound {
		t.Errorf("without the Secret the backend's feed is answered %d, want 404", status)
	}
	if err := server.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		if !json.Valid(lines.Bytes()) {
			t.Errorf("a line of the log is no JSON: %s", lines.Text())
		}
	}
	if err := server.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
}

func get(t *testing.T, url string) int {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}
