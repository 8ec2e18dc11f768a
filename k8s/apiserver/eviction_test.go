package apiserver

import "testing"

// evict asks for an eviction, as `kubectl drain` does; reasons: it has to be refused, and why.
func (c *cluster) evict(t *testing.T, p *pod, reasons ...string) {
	t.Helper()
	file := c.write(t, "eviction.json", []byte(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"`+p.Metadata.Name+`","namespace":"`+namespace+`"}}`))
	args := []string{"create", "--raw", podPath(p) + "/eviction", "--filename=" + file}
	if len(reasons) > 0 {
		c.refused(t, reasons, "", args...)
		return
	}
	c.kubectl(t, args...)
}

// awaitBudget waits until the budget has seen the pod: so many healthy ones, so many that may be evicted.
func (c *cluster) awaitBudget(t *testing.T, healthy, allowed int) {
	t.Helper()
	type status struct {
		ObservedGeneration, CurrentHealthy, DisruptionsAllowed, ExpectedPods int
	}
	type budget struct{ Status status }
	await(t, c, func(b *budget) bool {
		return b.Status.ObservedGeneration > 0 && b.Status.ExpectedPods == 1 && b.Status.CurrentHealthy == healthy && b.Status.DisruptionsAllowed == allowed
	}, "poddisruptionbudget", "cartd")
}

// A node can be drained: the one pod may be evicted, and the next one has its volume.
func TestReadyPodMayBeEvicted(t *testing.T) {
	c, p := deploy(t, single)
	cl := c.claim(t)
	c.awaitBudget(t, 1, 1)
	c.evict(t, &p)
	p = c.deleted(t, &p)
	c.end(t, &p)
	p = c.replaced(t, &p)
	if got := c.claim(t); got.Metadata.UID != cl.Metadata.UID {
		t.Errorf("the claim is %+v, want the old one %+v", got, cl)
	}
}

// A pod that is not ready does not keep its node from being drained.
func TestPodThatIsNotReadyMayBeEvicted(t *testing.T) {
	c, p := deploy(t, single)
	c.report(t, &p, false)
	c.awaitBudget(t, 0, 0)
	c.evict(t, &p)
	p = c.deleted(t, &p)
	c.end(t, &p)
	c.replaced(t, &p)
}

// With other budgets the server refuses both: what the two tests above see is this budget's doing.
func TestOtherBudgetsRefuse(t *testing.T) {
	c, p := deploy(t, overlay(t, single, object{"patches": []object{patch("PodDisruptionBudget", "remove", "/spec/unhealthyPodEvictionPolicy", nil)}}))
	const reason = "violate the pod's disruption budget"
	c.report(t, &p, false)
	c.awaitBudget(t, 0, 0)
	c.evict(t, &p, reason)

	c.kubectl(t, "apply", "--kustomize="+overlay(t, single, object{"patches": []object{patch("PodDisruptionBudget", "replace", "/spec/maxUnavailable", 0)}}))
	c.report(t, &p, true)
	c.awaitBudget(t, 1, 0)
	c.evict(t, &p, reason)
}

// `kubectl drain`, as an operator runs it, comes to its end, and cartd is there again.
func TestNodeIsDrained(t *testing.T) {
	c, p := deploy(t, single)
	c.awaitBudget(t, 1, 1)
	c.runNode(t)
	c.kubectl(t, "drain", nodeName, "--delete-emptydir-data", "--timeout=60s")
	p = c.replaced(t, &p)
	c.awaitPod(t, (*pod).ready)
}
