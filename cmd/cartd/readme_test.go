//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func readme(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The shell lines of the README do what it says when they are pasted, one after the other.
func TestReadmeCommandsWorkWhenPasted(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	if len(blocks) == 0 {
		t.Fatal("the README has no shell block")
	}
	s := serve(t, t.TempDir())
	for _, block := range blocks {
		out := s.paste(t, block[1])
		calls := strings.Count(block[1], "curl -s ")
		var codes []string
		answers := 0
		for line := range strings.Lines(out) {
			var answer struct{ Code string }
			if strings.TrimSpace(line) == "" {
				continue
			}
			if err := json.Unmarshal([]byte(line), &answer); err != nil {
				t.Errorf("no JSON: %s", line)
			}
			answers++
			if answer.Code != "" {
				codes = append(codes, answer.Code)
			}
		}
		if want := []string{"version_conflict"}; answers != calls || !slices.Equal(codes, want) {
			t.Errorf("%d answers to %d calls, with the errors %v, want only %v:\n%s", answers, calls, codes, want, out)
		}
	}
}

// paste runs shell lines of a document, whose server is this one, and returns what they print: one answer a line, as the
// terminal would not show it.
func (s *server) paste(t *testing.T, lines string) string {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "sed", "tr"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: the commands were not run: %v", err)
		}
	}
	script := "curl() { command curl --max-time 60 \"$@\"; echo; }\n" + strings.ReplaceAll(lines, "http://127.0.0.1:8080", s.api)
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// Every flag of serve is in the README's table, with its environment variable and default.
func TestReadmeListsEveryFlag(t *testing.T) {
	text := readme(t)
	parser, err := kong.New(&cli{}, kong.DefaultEnvars("CARTD"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `(--[a-z-]+)` \\| `([A-Z_]+)` \\| (?:`([^`]*)`)? ?\\|").FindAllStringSubmatch(text, -1) {
		listed = append(listed, strings.Join(row[1:], " "))
	}
	var want []string
	for _, node := range parser.Model.Children {
		if node.Name != "serve" {
			continue
		}
		for _, flag := range node.Flags {
			want = append(want, strings.Join([]string{"--" + flag.Name, flag.Envs[0], flag.Default}, " "))
		}
	}
	if !reflect.DeepEqual(listed, want) {
		t.Errorf("the README lists\n%s\nwant\n%s", strings.Join(listed, "\n"), strings.Join(want, "\n"))
	}
}

// Every page of docs/ is in the README's list of them.
func TestReadmeListsEveryDocument(t *testing.T) {
	_, list, _ := strings.Cut(readme(t), "\n## Documents\n")
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("there are the pages %v: %v", pages, err)
	}
	for _, page := range pages {
		if name := filepath.Base(page); !strings.Contains(list, "\n- [docs/"+name+"](docs/"+name+"): ") {
			t.Errorf("docs/%s is not in the list", name)
		}
	}
}
