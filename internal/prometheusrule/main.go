// Command prometheusrule prints the rule files of a directory as one PrometheusRule, the resource that the Prometheus operator
// takes: prometheusrule k8s/monitoring/rules. `make generate` runs it.
//
// It copies lines, so that comments stay: a rule file is `groups:` at the begin of a line, and behind it the groups.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

const head = `# Made of rules/ by ` + "`make generate`" + `. Change it there.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: cartd
  labels:
    app.kubernetes.io/name: cartd
    app.kubernetes.io/component: monitoring
spec:
  groups:
`

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: prometheusrule DIR")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "prometheusrule:", err)
		os.Exit(1)
	}
}

// write writes the files of dir to w, in the order of their names.
func write(w io.Writer, dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("%s: there are no rule files", dir)
	}
	out := bytes.NewBufferString(head)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		comment, groups, ok := bytes.Cut(text, []byte("\ngroups:\n"))
		if !ok {
			return fmt.Errorf("%s: there is no line of groups", file)
		}
		fmt.Fprintf(out, "    # %s\n    #\n", filepath.Base(file))
		indent(out, "    ", comment)
		indent(out, "  ", groups)
	}
	_, err = w.Write(out.Bytes())
	return err
}

func indent(out *bytes.Buffer, by string, text []byte) {
	for line := range bytes.Lines(text) {
		line = bytes.TrimRight(line, "\n")
		if len(line) > 0 {
			out.WriteString(by)
		}
		out.Write(line)
		out.WriteByte('\n')
	}
}
