package apiserver

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The lines of README's section on Kubernetes do what it says when they are pasted, each one that applies something tried
// with --dry-run=server first.
func TestReadmeLinesDeployWhenPasted(t *testing.T) {
	script := onKubernetes(t)
	c := startCluster(t, true)
	c.addOperatorTypes(t)
	c.addNode(t)
	c.runNode(t)
	dry := regexp.MustCompile(`(?m)^kubectl apply .*$`).ReplaceAllStringFunc(script, func(line string) string {
		command, _, _ := strings.Cut(line, " #")
		return command + " --dry-run=server\n" + line
	})
	if !strings.Contains(dry, "--dry-run=server") {
		t.Fatalf("nothing is applied by\n%s", script)
	}
	out, err := sound(c.command(t, "bash", "-euo", "pipefail", "-xc", dry))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", out)
	c.awaitPod(t, (*pod).ready)
	c.awaitEndpoint(t, "cartd", true, false)
	// The backend's token is where the pod looks for it.
	if token := c.kubectl(t, "get", "secret", "cartd-backend", "--namespace="+namespace, "--output=jsonpath={.data.token}"); token == "" {
		t.Error("the Secret cartd-backend has no token")
	}
}

// onKubernetes are the lines of all blocks of README's section on Kubernetes.
func onKubernetes(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(repository(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?ms)^## On Kubernetes\n(.*?)(?:^## |\z)`).FindSubmatch(b)
	if section == nil {
		t.Fatal("README has no section On Kubernetes")
	}
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```").FindAllSubmatch(section[1], -1) {
		script.Write(block[1])
	}
	return script.String()
}
