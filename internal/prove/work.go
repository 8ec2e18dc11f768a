package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// moduleRoot is the directory of the go.mod above the one that we are in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("there is no go.mod here nor above")
		}
		dir = parent
	}
}

// takeOut returns the content of the line's file without it.
func (l line) takeOut(root string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(l.file)))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(b), l.old); n != 1 {
		return nil, fmt.Errorf("%s has %d times, want once (%s):\n%s", l.file, n, l.promise, l.old)
	}
	return []byte(strings.Replace(string(b), l.old, l.new, 1)), nil
}

// where names the file and the number of the line's first line.
func (l line) where(root string) string {
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(l.file)))
	if err != nil {
		return l.file
	}
	before, _, _ := strings.Cut(string(b), l.old)
	return fmt.Sprintf("%s:%d", strings.TrimPrefix(l.file, "internal/eventlog/"), strings.Count(before, "\n")+1)
}

// work is a copy of the tree. Tests leave files beside themselves when they fail, and who looks at the tree meanwhile
// should not see it broken.
type work struct {
	dir      string
	patience time.Duration
}

func copyTree(root string) (*work, error) {
	dir, err := os.MkdirTemp("", "cartd-prove-")
	if err != nil {
		return nil, err
	}
	w := &work{dir: dir}
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil {
			return nil, errors.Join(err, w.remove())
		}
	}
	for _, name := range []string{"cmd", "internal", "pkg"} { // all that the module's packages are in
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			return nil, errors.Join(err, w.remove())
		}
	}
	return w, nil
}

func (w *work) remove() error { return os.RemoveAll(w.dir) }

// green runs the tests of all lines on the tree as it is. They have to be there, and to succeed.
func (w *work) green(ctx context.Context, ls []line) error {
	var pkgs []string
	patterns := make(map[string][]string)
	for _, l := range ls {
		if patterns[l.pkg] == nil {
			pkgs = append(pkgs, l.pkg)
		}
		patterns[l.pkg] = append(patterns[l.pkg], "("+l.run+")")
	}
	for _, pkg := range pkgs {
		slices.Sort(patterns[pkg])
		got, err := w.test(ctx, pkg, strings.Join(slices.Compact(patterns[pkg]), "|"))
		if err != nil {
			return err
		}
		if got.red || got.what != "" {
			return fmt.Errorf("%s is not green as it is: %s\n%s", pkg, got.what, got.output)
		}
	}
	return nil
}

// outcome is what became of a test run; what is "" when all was well.
type outcome struct {
	red    bool // a test failed
	what   string
	output string
}

// without runs the tests of l while it is taken out.
func (w *work) without(ctx context.Context, l line) (got outcome, err error) {
	path := filepath.Join(w.dir, filepath.FromSlash(l.file))
	whole, err := os.ReadFile(path)
	if err != nil {
		return outcome{}, err
	}
	changed, err := l.takeOut(w.dir)
	if err != nil {
		return outcome{}, err
	}
	defer func() { err = errors.Join(err, os.WriteFile(path, whole, 0o600)) }()
	if err := os.WriteFile(path, changed, 0o600); err != nil {
		return outcome{}, err
	}
	got, err = w.test(ctx, l.pkg, l.run)
	if err == nil && got.what == "" {
		got.what = "NOTHING"
	}
	return got, err
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// test builds the tests of a package, and then runs those that match. The error is that of a tool that is missing, or
// of ctx.
func (w *work) test(ctx context.Context, pkg, run string) (outcome, error) {
	binary := filepath.Join(w.dir, "tests.bin")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-trimpath", "-vet=off", "-o", binary, "./"+pkg)
	build.Dir = w.dir
	if out, err := build.CombinedOutput(); err != nil {
		if _, exited := errors.AsType[*exec.ExitError](err); !exited || ctx.Err() != nil {
			return outcome{}, errors.Join(err, ctx.Err())
		}
		return outcome{what: "DOES NOT COMPILE", output: string(out)}, nil
	}
	defer os.Remove(binary) // so that no later run finds it
	cmd := exec.CommandContext(ctx, binary, "-test.run=^("+run+")$", "-test.failfast", "-test.timeout="+w.patience.String())
	cmd.Dir = filepath.Join(w.dir, filepath.FromSlash(pkg))
	cmd.Env = append(os.Environ(), "GORACE=")
	out, err := cmd.CombinedOutput()
	text := string(out)
	switch _, exited := errors.AsType[*exec.ExitError](err); {
	case ctx.Err() != nil:
		return outcome{}, ctx.Err()
	case err != nil && !exited:
		return outcome{}, err
	case strings.Contains(text, "panic: test timed out"):
		return outcome{what: "HANGS", output: text}, nil
	case strings.Contains(text, "testing: warning: no tests to run"):
		return outcome{what: "NO SUCH TEST", output: text}, nil
	case err == nil:
		return outcome{output: text}, nil
	}
	name := "the program, before any test could"
	if m := failed.FindAllStringSubmatch(text, -1); len(m) > 0 {
		name = m[0][1]
		for _, sub := range m { // the innermost one says most
			if strings.HasPrefix(sub[1], name+"/") {
				name = sub[1]
			}
		}
		return outcome{red: true, what: name, output: text}, nil
	}
	return outcome{what: "ENDS: " + name, output: text}, nil
}

// tests returns the names of the tests in the files of a package.
func tests(root, pkg string) (map[string]bool, error) {
	names := make(map[string]bool)
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := fs.WalkDir(os.DirFS(filepath.Join(root, filepath.FromSlash(pkg))), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != ".":
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(pkg), path))
		for _, m := range declared.FindAllStringSubmatch(string(b), -1) {
			names[m[1]] = true
		}
		return err
	})
	return names, err
}
