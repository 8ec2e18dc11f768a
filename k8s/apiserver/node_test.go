package apiserver

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// The node that stands in for kubelet and scheduler, and where cartd is.
const (
	nodeName  = "node-1"
	namespace = "cartd"
)

// pod is what the tests look at in a pod.
type pod struct {
	Metadata struct {
		Name              string
		UID               string
		Labels            map[string]string
		DeletionTimestamp string
	}
	Spec struct {
		NodeName   string
		Containers []struct {
			Name, Image  string
			EnvFrom      []struct{ ConfigMapRef struct{ Name string } }
			VolumeMounts []struct{ Name, MountPath string }
		}
		Volumes []struct {
			Name                  string
			Projected             *struct{ Sources []map[string]any }
			PersistentVolumeClaim *struct{ ClaimName string }
		}
		TerminationGracePeriodSeconds int
	}
	Status struct {
		Phase      string
		Conditions []struct{ Type, Status string }
	}
}

func (p *pod) ready() bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status string }) bool { return c.Type == "Ready" && c.Status == "True" })
}

// ofJob reports whether the pod is one that ends.
func (p *pod) ofJob() bool { return p.Metadata.Labels["batch.kubernetes.io/job-name"] != "" }

// addNode registers a node that says it is well.
func (c *cluster) addNode(t *testing.T) {
	t.Helper()
	c.kubectlWith(t, fmt.Sprintf(`{"apiVersion":"v1","kind":"Node","metadata":{"name":%q}}`, nodeName), "create", "--filename=-")
	c.kubectl(t, "patch", "node", nodeName, "--subresource=status", "--type=merge",
		`--patch={"status":{"capacity":{"cpu":"8","memory":"16Gi","pods":"110"},"conditions":[{"type":"Ready","status":"True","reason":"Test"}]}}`)
	c.kubectl(t, "taint", "node", nodeName, "node.kubernetes.io/not-ready:NoSchedule-")
}

// bind gives a pod to the node, as a scheduler does.
func (c *cluster) bind(t *testing.T, p *pod) {
	t.Helper()
	if err := c.tryBind(t, p); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) tryBind(t *testing.T, p *pod) error {
	cmd := c.command(t, "kubectl", "create", "--raw", podPath(p)+"/binding", "--filename=-")
	cmd.Stdin = jsonOf(object{
		"apiVersion": "v1", "kind": "Binding", "metadata": object{"name": p.Metadata.Name, "uid": p.Metadata.UID},
		"target": object{"apiVersion": "v1", "kind": "Node", "name": nodeName},
	})
	_, err := sound(cmd)
	return err
}

// report says of a pod that its containers run, and whether they are ready, as a kubelet does after a readiness probe.
func (c *cluster) report(t *testing.T, p *pod, ready bool) {
	t.Helper()
	if err := c.tryReport(t, p, ready); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) tryReport(t *testing.T, p *pod, ready bool) error {
	status := map[bool]string{true: "True", false: "False"}[ready]
	now := time.Now().UTC().Format(time.RFC3339)
	var conditions, containers []object
	for _, kind := range []string{"PodScheduled", "Initialized"} {
		conditions = append(conditions, object{"type": kind, "status": "True", "lastTransitionTime": now})
	}
	for _, kind := range []string{"ContainersReady", "Ready"} {
		conditions = append(conditions, object{"type": kind, "status": status, "lastTransitionTime": now})
	}
	phase, state := "Running", object{"running": object{"startedAt": now}}
	if p.ofJob() { // it has done what it was for
		phase, state = "Succeeded", object{"terminated": object{"exitCode": 0, "startedAt": now, "finishedAt": now}}
	}
	for _, container := range p.Spec.Containers {
		containers = append(containers, object{
			"name": container.Name, "image": container.Image, "imageID": "sha256:0", "restartCount": 0, "ready": ready, "started": true,
			"state": state,
		})
	}
	b, err := json.Marshal(object{"metadata": object{"uid": p.Metadata.UID}, "status": object{
		"phase": phase, "startTime": now, "hostIP": "192.0.2.1", "podIP": "198.51.100.7", "podIPs": []object{{"ip": "198.51.100.7"}},
		"conditions": conditions, "containerStatuses": containers,
	}})
	if err != nil {
		return err
	}
	_, err = sound(c.command(t, "kubectl", "patch", "pod", p.Metadata.Name, "--namespace="+namespace, "--subresource=status", "--type=merge", "--patch="+string(b)))
	return err
}

// end takes away a pod that somebody has deleted: its containers have ended.
func (c *cluster) end(t *testing.T, p *pod) {
	t.Helper()
	if err := c.tryEnd(t, p); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) tryEnd(t *testing.T, p *pod) error {
	cmd := c.command(t, "kubectl", "delete", "--raw", podPath(p), "--filename=-")
	cmd.Stdin = jsonOf(object{
		"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": object{"uid": p.Metadata.UID},
	})
	_, err := sound(cmd)
	return err
}

// runNode lets the node do all of this by itself until the test ends: what is created becomes ready, and what is deleted
// ends, as does what is of a Job.
func (c *cluster) runNode(t *testing.T) {
	t.Helper()
	cmd := c.commandIn(t.Context(), t, "kubectl", "get", "pods", "--namespace="+namespace, "--watch", "--output-watch-events", "--output=json")
	news, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		steps := make(map[string]bool) // each is done once: news may be told after the step that they ask for
		for dec := json.NewDecoder(news); ; {
			var e struct {
				Type   string
				Object pod
			}
			if err := dec.Decode(&e); err != nil {
				return // kubectl was ended
			}
			if e.Type == "DELETED" {
				continue
			}
			name, step := c.next(&e.Object)
			if name += e.Object.Metadata.UID; step == nil || steps[name] {
				continue
			}
			steps[name] = true
			if err := step(t, &e.Object); err != nil && t.Context().Err() == nil && !strings.Contains(err.Error(), "(NotFound)") {
				t.Errorf("the node: %v", err)
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill() //nolint:errcheck // it may have ended
		<-done
		cmd.Wait() //nolint:errcheck // it was killed
	})
}

// next is what the node does for a pod, if there is something to do.
func (c *cluster) next(p *pod) (name string, step func(*testing.T, *pod) error) {
	bound, deleted := p.Spec.NodeName != "", p.Metadata.DeletionTimestamp != ""
	switch {
	case deleted && bound:
		return "end", c.tryEnd
	case !deleted && !bound:
		return "bind", c.tryBind
	case !deleted && !p.ready():
		return "report", func(t *testing.T, p *pod) error { return c.tryReport(t, p, !p.ofJob()) }
	}
	return "", nil
}

func podPath(p *pod) string { return "/api/v1/namespaces/" + namespace + "/pods/" + p.Metadata.Name }
