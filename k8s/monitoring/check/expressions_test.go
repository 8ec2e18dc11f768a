package check

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// promQL reads expressions as Prometheus does.
var promQL = parser.NewParser(parser.Options{})

// substitute puts something in the place of Grafana's variables.
func substitute(expr, window string) string {
	return strings.NewReplacer("$__rate_interval", window, "$__interval", window, "$__range", window, "$job", ".+", "$instance", ".+").Replace(expr)
}

// expression is one that has to find something.
type expression struct {
	where string // what it is for
	expr  string
	label string // that has to be there; "" for none
}

// panelExpressions returns those of all panels, variables and annotations. A query without data is an empty panel.
func panelExpressions(t *testing.T, window string) (all []expression) {
	t.Helper()
	for _, d := range dashboards(t) {
		for _, p := range d.Panels {
			for _, q := range p.Targets {
				all = append(all, expression{where: fmt.Sprintf("%s: %s: %s", d.file, p.Title, q.RefID), expr: substitute(q.Expr, window)})
			}
		}
		for _, v := range d.Templating.List {
			if v.Type != "query" {
				continue
			}
			var query struct{ Query string }
			if err := json.Unmarshal(v.Query, &query); err != nil {
				t.Fatalf("%s: variable %s: %v", d.file, v.Name, err)
			}
			m := regexp.MustCompile(`^label_values\((.+), (\w+)\)$`).FindStringSubmatch(query.Query)
			if m == nil {
				t.Fatalf("%s: variable %s asks for %q, want label_values(…, …)", d.file, v.Name, query.Query)
			}
			all = append(all, expression{where: d.file + ": variable " + v.Name, expr: substitute(m[1], window), label: m[2]})
		}
		for _, a := range d.Annotations.List {
			for _, part := range operands(t, substitute(a.Expr, window)) {
				all = append(all, expression{where: d.file + ": annotation " + a.Name, expr: part})
			}
		}
	}
	return all
}

// ruleFile is what is looked at of a rule file.
type ruleFile struct {
	Groups []struct {
		Rules []struct{ Record, Alert, Expr string }
	}
}

// ruleExpressions returns those of all rules. An alert finds nothing while all is well: what it compares has to be there.
func ruleExpressions(t *testing.T) (all []expression) {
	t.Helper()
	for _, file := range RuleFiles(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rules ruleFile
		if err := yaml.Unmarshal(text, &rules); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, g := range rules.Groups {
			for _, r := range g.Rules {
				for _, part := range operands(t, hasten(r.Expr)) {
					all = append(all, expression{where: file + ": " + r.Record + r.Alert, expr: part})
				}
			}
		}
	}
	return all
}

// operands returns the parts of an expression that are compared, or the expression itself if nothing in it is.
func operands(t *testing.T, expr string) (parts []string) {
	t.Helper()
	tree, err := promQL.ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	var take func(parser.Node)
	take = func(n parser.Node) {
		if _, ok := n.(*parser.NumberLiteral); ok {
			return
		}
		if !decides(n) {
			parts = append(parts, n.String())
			return
		}
		for child := range parser.ChildrenIter(n) {
			take(child)
		}
	}
	take(tree)
	return parts
}

// decides reports whether there is anything in n that may leave series out, or is there because they are not.
func decides(n parser.Node) bool {
	found := false
	parser.Inspect(n, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.BinaryExpr:
			found = found || n.Op.IsComparisonOperator() && !n.ReturnBool || n.Op.IsSetOperator()
		case *parser.Call:
			found = found || strings.HasPrefix(n.Func.Name, "absent")
		}
		return nil
	})
	return found
}

func TestOperandsOfAlertsAreWhatTheyCompare(t *testing.T) {
	for expr, want := range map[string]string{
		`up == 0`: `up`,
		`sum by (job) (rate(a[5m])) > 0.1 * sum by (job) (rate(b[5m]))`: `sum by (job) (rate(a[5m])), 0.1 * sum by (job) (rate(b[5m]))`,
		`(a > 1 and b < 2) unless c == 1`:                               `a, b, c`,
		`count(a > 3) >= 2`:                                             `a`,
		`absent(up{job="cartd"}) or a`:                                  `up{job="cartd"}, a`,
		`rate(a[5m]) / rate(b[5m])`:                                     `rate(a[5m]) / rate(b[5m])`,
	} {
		if got := strings.Join(operands(t, expr), ", "); got != want {
			t.Errorf("%s compares %s, want %s", expr, got, want)
		}
	}
}

// metricsOf returns the names that an expression asks for.
func metricsOf(t *testing.T, expr string) (names []string) {
	t.Helper()
	tree, err := promQL.ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok {
			names = append(names, v.Name)
		}
		return nil
	})
	return names
}
