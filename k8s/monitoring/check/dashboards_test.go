package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

const dashboardsDir = "../dashboards"

// dashboard is what is looked at of a Grafana dashboard.
type dashboard struct {
	file          string
	ID            *int   `json:"id"`
	UID           string `json:"uid"`
	Title         string `json:"title"`
	Description   string `json:"description"`
	Tags          []string
	SchemaVersion int `json:"schemaVersion"`
	Panels        []panel
	Templating    struct{ List []variable }
	Annotations   struct{ List []annotation }
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	Datasource  source
	GridPos     struct{ X, Y, W, H int }
	Targets     []panelQuery
	FieldConfig struct{ Defaults struct{ Unit string } }
	Options     struct{ YAxis struct{ Unit string } }
	Panels      []panel
}

// unit is that of the values; a heatmap has them on its axis.
func (p *panel) unit() string {
	if p.Type == "heatmap" {
		return p.Options.YAxis.Unit
	}
	return p.FieldConfig.Defaults.Unit
}

type source struct{ Type, UID string }

type panelQuery struct {
	RefID        string
	Datasource   source
	Expr         string
	LegendFormat string
}

type variable struct {
	Name, Label, Type, Description string
	Datasource                     source
	Query                          json.RawMessage
}

type annotation struct {
	Name, Expr string
	Datasource source
}

func dashboards(t *testing.T) (all []dashboard) {
	t.Helper()
	files, err := filepath.Glob(dashboardsDir + "/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := dashboard{file: filepath.Base(file)}
		if err := json.Unmarshal(text, &d); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, d)
	}
	return all
}

// faults says what is wrong with the form of a dashboard.
func (d *dashboard) faults() (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if d.ID != nil {
		fault("has an id, which is the database's")
	}
	if d.UID == "" || d.Title == "" || d.Description == "" || d.SchemaVersion < 39 || !slices.Contains(d.Tags, "cartd") {
		fault("uid %q, title %q, description %q, schema %d, tags %q", d.UID, d.Title, d.Description, d.SchemaVersion, d.Tags)
	}
	names := map[string]string{}
	for _, v := range d.Templating.List {
		names[v.Name] = v.Type
		if v.Label == "" || v.Description == "" {
			fault("variable %s without a label or a description", v.Name)
		}
	}
	if want := map[string]string{"datasource": "datasource", "job": "query", "instance": "query"}; !maps.Equal(names, want) {
		fault("variables %v, want %v", names, want)
	}
	ids, titles, taken := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for i := range d.Panels {
		p := &d.Panels[i]
		if ids[p.ID] || p.ID <= 0 {
			fault("panel %q: id %d is not its own", p.Title, p.ID)
		}
		if titles[p.Title] || p.Title == "" {
			fault("panel %d: title %q is not its own", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		if g := p.GridPos; g.X < 0 || g.Y < 0 || g.W <= 0 || g.H <= 0 || g.X+g.W > 24 {
			fault("panel %q is at %+v, outside of the 24 columns", p.Title, g)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, ok := taken[[2]int{x, y}]; ok {
					fault("panels %q and %q overlap", other, p.Title)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			if len(p.Panels) > 0 {
				fault("row %q hides panels, which nothing here looks at", p.Title)
			}
			continue
		}
		if p.unit() == "" {
			fault("panel %q has no unit", p.Title)
		}
		if len(p.Description) < 10 || !strings.HasSuffix(p.Description, ".") {
			fault("panel %q: description %q says little", p.Title, p.Description)
		}
		refs := map[string]bool{}
		for _, q := range append([]panelQuery{{RefID: "", Datasource: p.Datasource, Expr: "0"}}, p.Targets...) {
			if q.Datasource != (source{"prometheus", "$datasource"}) {
				fault("panel %q %s: datasource %v, want that of the variable", p.Title, q.RefID, q.Datasource)
			}
			if refs[q.RefID] {
				fault("panel %q: two queries %s", p.Title, q.RefID)
			}
			refs[q.RefID] = true
		}
		if len(p.Targets) == 0 {
			fault("panel %q asks for nothing", p.Title)
		}
		for _, q := range p.Targets {
			if q.LegendFormat == "" {
				fault("panel %q %s has no legend", p.Title, q.RefID)
			}
			for _, ignored := range withoutVariables(q.Expr) {
				fault("panel %q: %s does not ask for $job", p.Title, ignored)
			}
		}
	}
	return faults
}

// withoutVariables returns the selectors of expr that the variables do not choose. Alerts come from elsewhere, and rules
// add the instances up.
func withoutVariables(expr string) (ignored []string) {
	tree, err := promQL.ParseExpr(substitute(expr, "5m"))
	if err != nil {
		return []string{err.Error()}
	}
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && v.Name != "ALERTS" {
			has := map[string]bool{}
			for _, m := range v.LabelMatchers {
				has[m.Name] = true
			}
			if !has["job"] || !has["instance"] && !strings.HasPrefix(v.Name, "cartd:") {
				ignored = append(ignored, v.String())
			}
		}
		return nil
	})
	return ignored
}

func TestDashboardsAreSound(t *testing.T) {
	uids := map[string]bool{}
	for _, d := range dashboards(t) {
		for _, fault := range d.faults() {
			t.Errorf("%s: %s", d.file, fault)
		}
		if uids[d.UID] {
			t.Errorf("%s: its uid %s is another's too", d.file, d.UID)
		}
		uids[d.UID] = true
		text, err := os.ReadFile(filepath.Join(dashboardsDir, d.file))
		if err != nil {
			t.Fatal(err)
		}
		for _, uid := range regexp.MustCompile(`"uid": "[^"]*"`).FindAllString(string(text), -1) {
			if uid != `"uid": "$datasource"` && uid != `"uid": "`+d.UID+`"` {
				t.Errorf("%s: %s is a data source of one Grafana", d.file, uid)
			}
		}
	}
}

// A check that finds nothing may be one that cannot find anything.
func TestFaultsOfADashboardAreFound(t *testing.T) {
	for what, spoil := range map[string]func(*dashboard){
		"overlap":              func(d *dashboard) { d.Panels[2].GridPos = d.Panels[1].GridPos },
		"is not its own":       func(d *dashboard) { d.Panels[2].ID = d.Panels[1].ID },
		"no unit":              func(d *dashboard) { d.Panels[1].FieldConfig.Defaults.Unit = "" },
		"says little":          func(d *dashboard) { d.Panels[1].Description = "" },
		"datasource":           func(d *dashboard) { d.Panels[1].Targets[0].Datasource.UID = "P1809F7CD0C75ACF3" },
		"does not ask for":     func(d *dashboard) { d.Panels[1].Targets[0].Expr = "sum(up)" },
		"outside of the 24":    func(d *dashboard) { d.Panels[1].GridPos.X = 22 },
		"variables":            func(d *dashboard) { d.Templating.List = d.Templating.List[1:] },
		"title \"\" is not":    func(d *dashboard) { d.Panels[1].Title = "" },
		"asks for nothing":     func(d *dashboard) { d.Panels[1].Targets = nil },
		"unexpected":           func(d *dashboard) { d.Panels[1].Targets[0].Expr = "sum(up{" },
		"which is the databas": func(d *dashboard) { d.ID = new(int) },
	} {
		d := dashboards(t)[0]
		spoil(&d)
		if got := strings.Join(d.faults(), "\n"); !strings.Contains(got, what) {
			t.Errorf("a dashboard with a fault: got %q, want something of %q", got, what)
		}
	}
}

func TestEachDashboardIsAConfigMap(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(dashboardsDir, "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dashboards(t) {
		if !strings.Contains(string(text), "files: ["+d.file+"]") {
			t.Errorf("%s is not in kustomization.yaml", d.file)
		}
		info, err := os.Stat(filepath.Join(dashboardsDir, d.file))
		if err != nil {
			t.Fatal(err)
		}
		// kubectl apply keeps a copy of the object in an annotation, and annotations have 256 KiB; quotes are escaped twice.
		if info.Size() > 150_000 {
			t.Errorf("%s has %d bytes: kubectl apply would refuse its ConfigMap", d.file, info.Size())
		}
	}
}
