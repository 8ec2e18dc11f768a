package apiserver

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The types of prometheus-operator come with this module, whose files this test wants as they were when it was written.
const (
	operatorModule = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
	operatorSum    = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
)

// addOperatorTypes makes the server know ServiceMonitor and PrometheusRule.
func (c *cluster) addOperatorTypes(t *testing.T) {
	t.Helper()
	cmd := c.command(t, "go", "mod", "download", "-json", operatorModule)
	cmd.Dir, cmd.Env = t.TempDir(), os.Environ() // outside of this module, which does not need the code
	out, err := sound(cmd)
	if err != nil {
		t.Fatal(err)
	}
	var module struct{ Dir, Sum string }
	if err := json.Unmarshal([]byte(out), &module); err != nil {
		t.Fatal(err)
	}
	if module.Sum != operatorSum {
		t.Fatalf("%s is %s, want %s", operatorModule, module.Sum, operatorSum)
	}
	for _, name := range []string{"prometheusrules", "servicemonitors"} {
		c.kubectl(t, "create", "--filename="+filepath.Join(module.Dir, "example/prometheus-operator-crd/monitoring.coreos.com_"+name+".yaml"))
		await(t, c, func(*object) bool { return true }, name+".monitoring.coreos.com") // `kubectl wait` fails while there is no status
	}
}

// namespaceFile has to be applied before everything else.
const namespaceFile = "k8s/namespace.yaml"

// Everything under k8s/ that can be applied is accepted by the API server, which says nothing against it.
func TestEveryKustomizationIsAcceptedWithoutAWarning(t *testing.T) {
	c := startCluster(t, false)
	c.addOperatorTypes(t)
	c.kubectl(t, "apply", "--dry-run=server", "--filename="+namespaceFile)
	c.kubectl(t, "apply", "--filename="+namespaceFile)
	all := kustomizations(t)
	for _, dir := range all {
		t.Run(dir, func(t *testing.T) {
			c.kubectl(t, "apply", "--dry-run=server", "--kustomize="+dir)
		})
	}
	if len(all) < 2 {
		t.Errorf("there are %v, want base and an overlay at least", all)
	}
}

// oldest is the first version that this kube-apiserver can stand in for.
const oldest = "1.33"

// An older server makes the same of the manifests: it neither refuses nor warns, and leaves nothing out that it does not know.
func TestOlderServerMakesTheSameOfIt(t *testing.T) {
	// What is each server's own: ids, times, addresses.
	own := regexp.MustCompile(`(?m)^ *(uid|creationTimestamp|resourceVersion|clusterIP): .*\n|^ *- 10\.0\.0\.\d+\n|.*"apiVersion":.*\n`)
	programs(t) // or it is skipped, as a whole
	type made struct{ ours, newer string }
	servers := make(chan made, 2)
	t.Run("", func(t *testing.T) { // ends when both have ended
		for _, flags := range [][]string{nil, {"--emulated-version=" + oldest}} {
			t.Run("", func(t *testing.T) {
				c := startCluster(t, false, flags...)
				c.kubectl(t, "apply", "--filename="+namespaceFile)
				of := func(dir string) string {
					return own.ReplaceAllString(c.kubectl(t, "apply", "--dry-run=server", "--output=yaml", "--kustomize="+dir), "")
				}
				// The second one has a field that the oldest version has not, and says nothing about.
				servers <- made{of(single), of(overlay(t, single, object{"patches": []object{patch("StatefulSet", "add", "/spec/template/spec/hostnameOverride", "cart")}}))}
			})
		}
	})
	close(servers)
	one, other := <-servers, <-servers
	if one.ours != other.ours || one.ours == "" {
		t.Errorf("servers of two versions, one of them %s, make different things of the same manifests: in one of them there are\n%s", oldest, inOneOf(one.ours, other.ours))
	}
	if got := strings.TrimSpace(inOneOf(one.newer, other.newer)); got != "hostnameOverride: cart" {
		t.Errorf("only one of two versions knows hostnameOverride, and the difference between them is\n%s", got)
	}
}

// inOneOf are the lines that only one of two texts has.
func inOneOf(a, b string) string {
	var only strings.Builder
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		others := slices.Collect(strings.Lines(pair[1]))
		for line := range strings.Lines(pair[0]) {
			if !slices.Contains(others, line) {
				only.WriteString(line)
			}
		}
	}
	return only.String()
}

// What is wrong is found in the same way: the server says so, and so does the check of what it says.
func TestPlantedFaultsAreFound(t *testing.T) {
	c := startCluster(t, false)
	c.addOperatorTypes(t)
	c.kubectl(t, "apply", "--filename="+namespaceFile)
	for name, fault := range map[string]struct {
		dir    string
		patch  object
		reason string
	}{
		"unknown field": {single, patch("StatefulSet", "add", "/spec/replica", 1), `unknown field "spec.replica"`},
		"unknown field of a container": {
			single, patch("StatefulSet", "add", "/spec/template/spec/containers/0/readynessProbe", object{}),
			`unknown field "spec.template.spec.containers[0].readynessProbe"`,
		},
		"port out of range": {
			single, patch("StatefulSet", "replace", "/spec/template/spec/containers/0/ports/0/containerPort", 80800), "must be between 1 and 65535",
		},
		"selector that fits nothing": {
			single, patch("StatefulSet", "replace", "/spec/selector/matchLabels", object{"app": "other"}), "`selector` does not match template `labels`",
		},
		"quantity without a unit": {
			single, patch("StatefulSet", "replace", "/spec/template/spec/containers/0/resources/limits/memory", "1 GB"), "quantities must match",
		},
		"policy of no protocol": {single, patch("NetworkPolicy", "replace", "/spec/ingress/0/ports/0/protocol", "HTTP"), "Unsupported value"},
		"budget of two minds":   {single, patch("PodDisruptionBudget", "add", "/spec/minAvailable", 1), "cannot be both set"},
		// The API server accepts these. It warns, and refuses the pods when there are some.
		"root": {single, patch("StatefulSet", "replace", "/spec/template/spec/securityContext/runAsNonRoot", false), "runAsNonRoot"},
		"file system of the node": {
			single, patch("StatefulSet", "add", "/spec/template/spec/volumes", []object{{"name": "host", "hostPath": object{"path": "/"}}}), "restricted volume types",
		},
		"privileges": {
			single, patch("StatefulSet", "replace", "/spec/template/spec/containers/0/securityContext/allowPrivilegeEscalation", true), "allowPrivilegeEscalation",
		},
		"no filter for system calls": {single, patch("StatefulSet", "remove", "/spec/template/spec/securityContext/seccompProfile", nil), "seccompProfile"},
		"unknown field of a rule": {
			operator, patch("PrometheusRule", "add", "/spec/groups/0/rules/0/experssion", "up"), `unknown field "spec.groups[0].rules[0].experssion"`,
		},
		"rule without an expression": {operator, patch("PrometheusRule", "remove", "/spec/groups/0/rules/0/expr", nil), "spec.groups[0].rules[0].expr"},
		"interval of no duration":    {operator, patch("ServiceMonitor", "add", "/spec/endpoints/0/interval", "often"), "spec.endpoints[0].interval"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := overlay(t, fault.dir, object{"patches": []object{fault.patch}})
			c.refused(t, []string{fault.reason}, "", "apply", "--dry-run=server", "--kustomize="+dir)
		})
	}
	for _, dir := range []string{single, operator} { // it is the faults that are refused
		c.kubectl(t, "apply", "--dry-run=server", "--kustomize="+overlay(t, dir, nil))
	}
}
