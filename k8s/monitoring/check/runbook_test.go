package check

import (
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readRunbook(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(Root + "/docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	code     = regexp.MustCompile("(?s)```.*?```|`[^`\n]+`")
	command  = regexp.MustCompile(`(?m)(?:^|-- |\x60)cartd ([a-z]+)([^\x60\n]*)`)
	aFlag    = regexp.MustCompile(`--[a-z][a-z-]+`)
	anchor   = regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]+))?\)`)
	aHeading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// help returns what `cartd NAME --help` says; "" if there is no such command.
func help(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command(Cartd(t), name, "--help").Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// TestRunbookCommandsAreThoseOfCartd: at 3 a.m. nobody looks up what a flag is called.
func TestRunbookCommandsAreThoseOfCartd(t *testing.T) {
	t.Parallel()
	text, serve, found := readRunbook(t), help(t, "serve"), 0
	has := func(help, flag string) bool { return regexp.MustCompile(flag + `\b[^-]`).MatchString(help) }
	rest := code.ReplaceAllStringFunc(text, func(span string) string {
		for _, m := range command.FindAllStringSubmatch(span, -1) {
			found++
			says := help(t, m[1])
			if says == "" {
				t.Errorf("there is no command cartd %s", m[1])
				continue
			}
			for _, flag := range aFlag.FindAllString(m[2], -1) {
				if !has(says, flag) {
					t.Errorf("cartd %s has no flag %s", m[1], flag)
				}
			}
		}
		if strings.Contains(span, "kubectl") || strings.Contains(span, "cartd ") {
			return ""
		}
		return span
	})
	if found < 15 {
		t.Errorf("%d commands are in the runbook, want more than that", found)
	}
	for _, flag := range aFlag.FindAllString(rest, -1) { // of cartd serve
		if !has(serve, flag) {
			t.Errorf("cartd serve has no flag %s", flag)
		}
	}
	if has(serve, "--no-such-flag") || help(t, "nosuchcommand") != "" {
		t.Error("everything is taken for a flag, or a command")
	}
}

// TestRunbookQueriesAskForWhatIsThere: each line of a block of promql is a query of metrics that cartd or a rule has.
func TestRunbookQueriesAskForWhatIsThere(t *testing.T) {
	t.Parallel()
	s := Start(t, Options{})
	body, err := s.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	samples, _, err := ParseText(body)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"up": true}
	for _, sample := range samples {
		known[sample.Labels.Get("__name__")] = true
	}
	for _, r := range allRules(t) {
		known[r.Record] = true
	}
	found := 0
	for _, block := range regexp.MustCompile("(?s)```promql\n(.*?)```").FindAllStringSubmatch(readRunbook(t), -1) {
		for line := range strings.Lines(block[1]) {
			for _, name := range metricsOf(t, line) {
				if found++; !known[name] {
					t.Errorf("%s: cartd has no metric %s", strings.TrimSpace(line), name)
				}
			}
		}
	}
	for _, name := range regexp.MustCompile("`(carts?d?[_:][a-z0-9_:]+)`").FindAllStringSubmatch(readRunbook(t), -1) {
		if found++; !known[name[1]] {
			t.Errorf("cartd has no metric %s", name[1])
		}
	}
	if found < 30 {
		t.Errorf("%d metrics are in the runbook, want more than that", found)
	}
}

// TestRunbookSaysWhatTheLogSays: what to look for in the log is there in the sources.
func TestRunbookSaysWhatTheLogSays(t *testing.T) {
	t.Parallel()
	phrases := []string{"request failed", "slow request", "grain panicked", "event log is damaged", "event skipped at replay",
		"snapshot or sealed part could not be written", "the list of carts is being built", "bring the list of carts up to date",
		"operations cannot be stored", "cart could not be swept", "sweep of carts was cut off", "the event log has failed; start again to recover",
		"locked by another process", "a restore into this directory was cut off", "too many appends to the stream are waiting", "stream was claimed by another activation", "expected version", "newer format", "newer schema", "readmodel.db"}
	var sources strings.Builder
	for _, dir := range []string{"cmd", "internal", "pkg"} {
		err := filepath.WalkDir(filepath.Join(Root, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			sources.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	runbook, all := readRunbook(t), sources.String()
	for _, phrase := range phrases {
		if !strings.Contains(runbook, "`"+phrase+"`") {
			t.Errorf("the runbook does not have %q", phrase)
		}
		if !strings.Contains(all, phrase) {
			t.Errorf("cartd does not log %q", phrase)
		}
	}
}

func TestRunbookLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, m := range anchor.FindAllStringSubmatch(readRunbook(t), -1) {
		page, err := os.ReadFile(filepath.Join(Root, "docs", cmp.Or(m[1], "runbook.md")))
		if err != nil {
			t.Errorf("%s: %v", m[0], err)
			continue
		}
		var headings []string
		for _, h := range aHeading.FindAllStringSubmatch(string(page), -1) {
			headings = append(headings, strings.ReplaceAll(strings.ToLower(h[1]), " ", "-"))
		}
		if m[2] != "" && !slices.Contains(headings, m[2]) {
			t.Errorf("%s leads nowhere", m[0])
		}
	}
}
