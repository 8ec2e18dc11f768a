package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// promtool is the one on the PATH, or that of this module, which takes a minute or two to build the first time.
var promtool = sync.OnceValues(func() (string, error) {
	if path, err := exec.LookPath("promtool"); err == nil {
		return path, nil
	}
	tool := exec.Command("go", "tool", "-n", "promtool")
	tool.Env = append(os.Environ(), "GOFLAGS=-tags=remove_all_sd "+os.Getenv("GOFLAGS")) // without the clients of all clouds
	path, err := tool.Output()
	return strings.TrimSpace(string(path)), err
})

func runPromtool(t *testing.T, args ...string) (output string, err error) {
	t.Helper()
	path, err := promtool()
	if err != nil {
		t.Fatalf("promtool is not on the PATH and cannot be built: %v", err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), err
}

func TestPromtoolChecksRules(t *testing.T) {
	t.Parallel()
	if out, err := runPromtool(t, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, RuleFiles(t)...)...); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
}

func TestPromtoolTestsRules(t *testing.T) {
	t.Parallel()
	for _, file := range testFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			if out, err := runPromtool(t, "test", "rules", file); err != nil {
				t.Errorf("promtool test rules %s: %v\n%s", file, err, out)
			}
		})
	}
}

// TestPromtoolFindsAChangedThreshold is the control: an alert that comes later than it should fails its test.
func TestPromtoolFindsAChangedThreshold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for from, to := range map[string]string{"../rules/alerts-process.yaml": "alerts-process.yaml", "../rules/tests/alerts-process.yaml": "tests/alerts-process.yaml"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), "> 0.8 * process_max_fds", "> 0.9 * process_max_fds", 1)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := runPromtool(t, "test", "rules", filepath.Join(dir, "tests", "alerts-process.yaml"))
	if err == nil || !strings.Contains(out, "CartdFilesRunOut") {
		t.Errorf("with another threshold: %v\n%s", err, out)
	}
}
