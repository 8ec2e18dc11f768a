package apiserver

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// How a kubectl of the documents is tried, by its verb. Others are run as they are.
var (
	dryRun  = []string{"apply", "annotate", "cordon", "delete", "drain", "label", "patch", "scale", "set", "uncordon"}
	onNode  = []string{"attach", "cp", "debug", "exec", "logs", "port-forward"} // a kubelet would answer: the server finds the pod, and no kubelet
	notHere = []string{"top", "wait"}                                           // what they are for is not there
)

// Every kubectl that a document tells to run is one that the server takes, of what the README has put there: its verb, its
// flags, and the objects that it names.
func TestKubectlOfTheDocumentsIsTaken(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(repository(t), "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, page := range append([]string{filepath.Join(repository(t), "README.md")}, pages...) {
		b, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range kubectlLines(string(b)) {
			if !slices.Contains(commands, command) {
				commands = append(commands, command)
			}
		}
	}
	if len(commands) < 8 {
		t.Fatalf("the documents tell to run %q, want the README's lines and the guide's", commands)
	}
	c, _ := deploy(t, single)
	c.claim(t)
	c.addOperatorTypes(t)
	c.runNode(t)
	c.kubectl(t, "apply", "--kustomize="+operator)
	tree, _ := copyGuide(t)
	for _, command := range commands {
		verb := verbOf(command)
		if slices.Contains(notHere, verb) || strings.HasSuffix(command, " --") { // the latter is the beginning of one
			t.Logf("not tried: %s", command)
			continue
		}
		if slices.Contains(dryRun, verb) {
			command = strings.Replace(command, " "+verb+" ", " "+verb+" --dry-run=server ", 1)
		}
		c.kubectl(t, "rollout", "status", "statefulset/cartd", "--namespace="+namespace, "--timeout=60s") // the one before may have restarted it
		cmd := c.command(t, "bash", "-euo", "pipefail", "-c", command)
		cmd.Dir = tree
		switch out, err := sound(cmd); {
		case slices.Contains(onNode, verb):
			if err == nil || !strings.Contains(err.Error(), "no preferred addresses found") {
				t.Errorf("%s: %v\n%s\nwant the server to miss the node", command, err, out)
			}
		case err != nil && !strings.Contains(err.Error(), "Rolling back will not update"): // after a rollback kubectl warns of the next apply
			t.Error(err)
		}
	}
}

// verbOf is what a kubectl does.
func verbOf(command string) string {
	return regexp.MustCompile(`^kubectl(?: -n \S+)? (\S+)`).FindStringSubmatch(command)[1]
}

// kubectlLines are the complete uses of kubectl in a page: in its blocks of shell, and in its text those that name a
// namespace.
func kubectlLines(page string) (all []string) {
	const fence = "```"
	block, text := "", "" // what is open: the fence's line; and the paragraphs
	for line := range strings.Lines(strings.ReplaceAll(page, "\\\n", "")) {
		switch line := strings.TrimSpace(line); {
		case strings.HasPrefix(line, fence) && block == "":
			block = line
		case strings.HasPrefix(line, fence):
			block = ""
		case block == "":
			text += line + "\n"
		case slices.Contains([]string{fence, fence + "sh", fence + "bash"}, block):
			for _, start := range regexp.MustCompile(`\bkubectl -?[a-z]`).FindAllStringIndex(line, -1) {
				all = append(all, simpleCommand(line[start[0]:]))
			}
		}
	}
	for _, inline := range regexp.MustCompile("`(kubectl -n [^`]*)`").FindAllStringSubmatch(text, -1) {
		all = append(all, simpleCommand(strings.ReplaceAll(inline[1], "\n", " ")))
	}
	return all
}

// simpleCommand is the first command of a line of shell: it ends where another one begins, or a comment, or what it is
// substituted in.
func simpleCommand(line string) string {
	var quote byte
	depth := 0 // of $(
	for i := range len(line) {
		switch b := line[i]; {
		case quote == '\'' || b == '\'' && quote == 0:
			if b == '\'' {
				quote ^= '\''
			}
		case b == '"' && depth == 0:
			quote ^= '"'
		case b == '(':
			depth++
		case b == ')' && depth > 0:
			depth--
		case quote == 0 && depth == 0 && strings.IndexByte("|&;)\n", b) >= 0, quote == 0 && strings.HasPrefix(line[i:], " #"):
			return strings.TrimSpace(line[:i])
		}
	}
	return strings.TrimSpace(line)
}

// What ends a command is found, and what looks like it within quotes is passed over.
func TestSimpleCommand(t *testing.T) {
	for line, want := range map[string]string{
		"kubectl get pods | wc -l\n":                           "kubectl get pods",
		"kubectl port-forward cartd-0 8081 &\n":                "kubectl port-forward cartd-0 8081",
		`kubectl get x -o jsonpath='{.a}|' | base64 -d)"`:      "kubectl get x -o jsonpath='{.a}|'",
		`kubectl create s --from="$(head /dev/u | base64)" #x`: `kubectl create s --from="$(head /dev/u | base64)"`,
		"kubectl apply -k a  # and more":                       "kubectl apply -k a",
		"kubectl get pods":                                     "kubectl get pods",
	} {
		if got := simpleCommand(line); got != want {
			t.Errorf("%q begins with %q, want %q", line, got, want)
		}
	}
}
