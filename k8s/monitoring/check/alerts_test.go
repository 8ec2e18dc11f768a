package check

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// alertRule is a rule as the files have it.
type alertRule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

// allRules returns the rules of all files.
func allRules(t *testing.T) (all []alertRule) {
	t.Helper()
	for _, file := range RuleFiles(t) {
		var content struct{ Groups []struct{ Rules []alertRule } }
		unmarshal(t, file, &content)
		for _, g := range content.Groups {
			all = append(all, g.Rules...)
		}
	}
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	return all
}

// ruleTests are what a test of promtool holds, as far as it is looked at here.
type ruleTests struct {
	Tests []struct {
		Alerts []struct {
			Name   string `yaml:"alertname"`
			Expect []any  `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
		Expressions []struct {
			Expr   string
			Expect []any `yaml:"exp_samples"`
		} `yaml:"promql_expr_test"`
	}
}

func unmarshal(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func testFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../rules/tests/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("tests of rules: %v, error %v", files, err)
	}
	return files
}

// rulesWithout returns what is missing of what each rule has to have.
func rulesWithout(all []alertRule, tests []ruleTests, runbook string) (faults []string) {
	fires, silent, expressions := map[string]bool{}, map[string]bool{}, ""
	for _, file := range tests {
		for _, test := range file.Tests {
			for _, a := range test.Alerts {
				fires[a.Name] = fires[a.Name] || len(a.Expect) > 0
				silent[a.Name] = silent[a.Name] || len(a.Expect) == 0
			}
			for _, e := range test.Expressions {
				if len(e.Expect) > 0 {
					expressions += e.Expr + "\n"
				}
			}
		}
	}
	headings := map[string]bool{}
	for line := range strings.Lines(runbook) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "### "); ok {
			headings[name] = true
		}
	}
	seen := map[string]bool{}
	for _, r := range all {
		fault := func(format string, args ...any) {
			faults = append(faults, r.Alert+r.Record+": "+fmt.Sprintf(format, args...))
		}
		if seen[r.Alert+r.Record] {
			fault("is there twice")
		}
		seen[r.Alert+r.Record] = true
		if r.Record != "" {
			if !strings.Contains(expressions, r.Record+"\n") && !strings.Contains(expressions, r.Record+",") && !strings.Contains(expressions, r.Record+")") && !strings.Contains(expressions, r.Record+"{") {
				fault("no test says what it is")
			}
			continue
		}
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			fault("its severity is %q, want page or ticket", s)
		}
		for _, name := range []string{"summary", "description"} {
			if !strings.HasSuffix(r.Annotations[name], ".") {
				fault("its %s is %q, want a sentence", name, r.Annotations[name])
			}
		}
		if want := "docs/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			fault("its runbook_url is %q, want %q", r.Annotations["runbook_url"], want)
		}
		if _, after, ok := strings.Cut(runbook, "\n### "+r.Alert+"\n\n"); !ok || !strings.HasPrefix(after, r.Labels["severity"]) {
			fault("the runbook has no heading for it, or no %s below that", r.Labels["severity"])
		}
		delete(headings, r.Alert)
		if !fires[r.Alert] {
			fault("there is no test in which it fires")
		}
		if !silent[r.Alert] {
			fault("there is no test in which it stays silent")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(headings)) {
		faults = append(faults, name+": the runbook has a heading for it, and there is no such alert")
	}
	return faults
}

func TestEveryRuleHasTestsAndEveryAlertARunbook(t *testing.T) {
	var tests []ruleTests
	for _, file := range testFiles(t) {
		var content ruleTests
		unmarshal(t, file, &content)
		tests = append(tests, content)
	}
	runbook := readRunbook(t)
	for _, fault := range rulesWithout(allRules(t), tests, runbook) {
		t.Error(fault)
	}

	// Control: a rule that nobody has tested is found.
	planted := []alertRule{{Alert: "CartdPlanted"}, {Record: "cartd:planted:rate5m"}}
	if faults := rulesWithout(planted, tests, "\n### CartdOther\n"); len(faults) != 9 {
		t.Errorf("of two rules without anything %d faults are found: %s", len(faults), strings.Join(faults, "; "))
	}
}
