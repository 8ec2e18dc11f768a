package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../../k8s/monitoring/"

func TestPrometheusRuleIsWhatTheRuleFilesMakeIt(t *testing.T) {
	var want bytes.Buffer
	if err := write(&want, root+"rules"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(root + "operator/prometheusrule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("k8s/monitoring/operator/prometheusrule.yaml is not what k8s/monitoring/rules makes it: run 'make generate' and commit the result")
	}
}

func TestFileWithoutGroupsIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := write(&bytes.Buffer{}, dir); err == nil || !strings.Contains(err.Error(), "no rule files") {
		t.Errorf("a directory without files: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("# rules\ngroup:\n  - name: a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(&bytes.Buffer{}, dir); err == nil || !strings.Contains(err.Error(), "a.yaml") {
		t.Errorf("a file without groups: %v", err)
	}
}
