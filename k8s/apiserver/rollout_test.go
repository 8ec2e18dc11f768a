package apiserver

import (
	"slices"
	"strings"
	"testing"
)

// The StatefulSet makes the pod and its claim.
func TestPodGetsAVolumeFromTheTemplate(t *testing.T) {
	c, p := deploy(t, single)
	cl := c.claim(t)
	if want := []string{"ReadWriteOncePod"}; !slices.Equal(cl.Spec.AccessModes, want) || cl.Spec.Resources.Requests["storage"] == "" {
		t.Errorf("the claim is %+v, want %v and a size", cl.Spec, want)
	}
	if got := p.claims(); !slices.Equal(got, []string{cl.Metadata.Name}) {
		t.Errorf("the pod has the claims %v, want %s", got, cl.Metadata.Name)
	}
	// Its size is that of the beginning: a change of the template is refused, and not passed over.
	c.refused(t, []string{"Forbidden: updates to statefulset spec"}, "", "apply", "--dry-run=server", "--kustomize="+overlay(t, single, object{
		"patches": []object{patch("StatefulSet", "replace", "/spec/volumeClaimTemplates/0/spec/resources/requests/storage", "200Gi")},
	}))
}

func (p *pod) claims() (names []string) {
	for _, v := range p.Spec.Volumes {
		if v.PersistentVolumeClaim != nil {
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		}
	}
	return names
}

// Requests are sent to a pod that is ready, and to no other; metrics are asked of it in any case.
func TestEndpointsFollowReadiness(t *testing.T) {
	c, p := deploy(t, single)
	for _, ready := range []bool{true, false, true} {
		c.report(t, &p, ready)
		c.awaitEndpoint(t, "cartd", ready, false)
		c.awaitEndpoint(t, "cartd-operations", true, false)
	}
	c.kubectl(t, "delete", "pod", "cartd-0", "--namespace="+namespace, "--wait=false")
	c.awaitEndpoint(t, "cartd", false, true) // while it drains nobody new comes
}

// A change of the template, be it the image or a flag, ends the old pod and, only when it is gone, starts the new one, with
// the same volume.
func TestRollingUpdateStartsTheNewPodWhenTheOldOneHasEnded(t *testing.T) {
	c, p := deploy(t, single)
	cl := c.claim(t)
	// Applied again as it is, nothing happens.
	revision := func() statefulSet {
		return await(t, c, func(*statefulSet) bool { return true }, "statefulset", "cartd")
	}
	before := revision()
	c.kubectl(t, "apply", "--kustomize="+single)
	if got := revision(); got != before {
		t.Errorf("applied again the StatefulSet is %+v, before it was %+v", got, before)
	}
	changes := []object{
		{"images": []object{{"name": "cartd", "newTag": "next"}}},
		{
			"images":             []object{{"name": "cartd", "newTag": "next"}},
			"namespace":          namespace, // of the generator's object, which is to be merged
			"configMapGenerator": []object{{"name": "cartd", "behavior": "merge", "literals": []string{"CARTD_IDLE=5m"}}},
		},
	}
	for _, change := range changes {
		old := p
		c.kubectl(t, "apply", "--kustomize="+overlay(t, single, change))
		old = c.deleted(t, &old)
		c.awaitEndpoint(t, "cartd", false, true)
		c.end(t, &old)
		p = c.replaced(t, &old)
		c.bind(t, &p)
		c.report(t, &p, true)
		c.kubectl(t, "rollout", "status", "statefulset/cartd", "--namespace="+namespace, "--timeout=60s")
		c.awaitEndpoint(t, "cartd", true, false)

		const hash = "controller-revision-hash"
		if got, want := p.Metadata.Labels[hash], revision().Status.UpdateRevision; got != want || got == old.Metadata.Labels[hash] {
			t.Errorf("the new pod is of revision %s, the old one of %s, want %s", got, old.Metadata.Labels[hash], want)
		}
		if got := c.claim(t); got.Metadata.UID != cl.Metadata.UID || !slices.Equal(p.claims(), []string{cl.Metadata.Name}) {
			t.Errorf("the new pod has the claims %v, and the claim is %+v, want the old one %+v", p.claims(), got, cl)
		}
		if image := p.Spec.Containers[0].Image; !strings.HasSuffix(image, ":next") {
			t.Errorf("the new pod has the image %s", image)
		}
	}
	// The new flag is in the new pod's environment.
	name := p.Spec.Containers[0].EnvFrom[0].ConfigMapRef.Name
	if idle := c.kubectl(t, "get", "configmap", name, "--namespace="+namespace, "--output=jsonpath={.data.CARTD_IDLE}"); idle != "5m" {
		t.Errorf("CARTD_IDLE is %q in the ConfigMap %s of the new pod", idle, name)
	}
}

type statefulSet struct {
	Status struct{ UpdateRevision string }
}

// A pod that does not become ready is replaced when the template is repaired: nobody has to delete it.
func TestRepairedTemplateReplacesAPodThatIsNotReady(t *testing.T) {
	c, p := deploy(t, overlay(t, single, object{"images": []object{{"name": "cartd", "newTag": "broken"}}}))
	c.report(t, &p, false)
	c.kubectl(t, "apply", "--kustomize="+single)
	p = c.deleted(t, &p)
	c.end(t, &p)
	if p = c.replaced(t, &p); strings.HasSuffix(p.Spec.Containers[0].Image, ":broken") {
		t.Errorf("the new pod has the image %s", p.Spec.Containers[0].Image)
	}
}

// The claim, and so the data, outlives the StatefulSet's scaling to nothing, which repairs and restores ask for, and its
// deletion. What comes after has it again.
func TestVolumeClaimOutlivesScalingAndDeletion(t *testing.T) {
	c, p := deploy(t, single)
	before := c.claim(t)
	for _, way := range []struct{ away, back []string }{
		{
			[]string{"scale", "statefulset/cartd", "--replicas=0", "--namespace=" + namespace},
			[]string{"scale", "statefulset/cartd", "--replicas=1", "--namespace=" + namespace},
		},
		{
			[]string{"delete", "--kustomize=" + single, "--wait=false"},
			[]string{"apply", "--kustomize=" + single},
		},
	} {
		c.kubectl(t, way.away...)
		p = c.deleted(t, &p)
		c.end(t, &p)
		if way.away[0] == "delete" {
			for _, kind := range []string{"statefulset", "pod", "service", "ingress", "networkpolicy", "poddisruptionbudget", "serviceaccount", "configmap"} {
				c.kubectl(t, "wait", "--for=delete", kind, "--selector=app.kubernetes.io/name=cartd", "--namespace="+namespace, "--timeout=60s")
			}
		}
		if got := c.claim(t); got.Metadata != before.Metadata {
			t.Errorf("after %s the claim is %+v, want %+v", way.away[0], got, before)
		}
		c.kubectl(t, way.back...)
		if p = c.replaced(t, &p); !slices.Equal(p.claims(), []string{before.Metadata.Name}) || c.claim(t).Metadata.UID != before.Metadata.UID {
			t.Errorf("after %s the next pod has the claims %v, want %s of before", way.away[0], p.claims(), before.Metadata.Name)
		}
		c.bind(t, &p)
		c.report(t, &p, true)
	}
}
