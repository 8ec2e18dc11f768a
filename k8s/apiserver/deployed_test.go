package apiserver

import "testing"

// deploy starts a cluster with controllers and a node, and applies a folder in it: cartd-0 is there and ready. From then on
// each step of the node is the test's.
func deploy(t *testing.T, dir string) (*cluster, pod) {
	t.Helper()
	c := startCluster(t, true)
	c.addNode(t)
	c.addVolume(t)
	c.kubectl(t, "apply", "--filename="+namespaceFile)
	c.kubectl(t, "apply", "--kustomize="+dir)
	p := c.awaitPod(t, func(p *pod) bool { return true })
	c.bind(t, &p)
	c.report(t, &p, true)
	return c, c.awaitPod(t, (*pod).ready)
}

// addVolume registers a volume of the default class, which lets it grow: what a provisioner would make for the first claim.
func (c *cluster) addVolume(t *testing.T) {
	t.Helper()
	c.kubectlWith(t, `
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: disks
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: test.example
allowVolumeExpansion: true
---
apiVersion: v1
kind: PersistentVolume
metadata:
  name: disk-1
spec:
  storageClassName: disks
  accessModes: [ReadWriteOncePod]
  capacity: {storage: 20Gi}
  csi: {driver: test.example, volumeHandle: disk-1}
`, "create", "--filename=-")
}

// awaitPod returns cartd-0 as soon as it is as wanted.
func (c *cluster) awaitPod(t *testing.T, wanted func(*pod) bool) pod {
	t.Helper()
	return await(t, c, wanted, "pod", "cartd-0")
}

// replaced returns the pod that has come after this one.
func (c *cluster) replaced(t *testing.T, old *pod) pod {
	t.Helper()
	return c.awaitPod(t, func(p *pod) bool { return p.Metadata.UID != old.Metadata.UID })
}

// deleted returns this pod when somebody has deleted it: its containers are told to end, and it is there until they have.
func (c *cluster) deleted(t *testing.T, p *pod) pod {
	t.Helper()
	q := c.awaitPod(t, func(q *pod) bool { return q.Metadata.DeletionTimestamp != "" || q.Metadata.UID != p.Metadata.UID })
	if q.Metadata.UID != p.Metadata.UID {
		t.Fatalf("there is another pod %s although the old one has not ended", q.Metadata.Name)
	}
	return q
}

// claim is a volume claim.
type claim struct {
	Metadata struct{ Name, UID, DeletionTimestamp string }
	Spec     struct {
		AccessModes []string
		Resources   struct{ Requests map[string]string }
	}
	Status struct{ Phase string }
}

// claim returns the claim of cartd-0, which has its volume.
func (c *cluster) claim(t *testing.T) claim {
	t.Helper()
	return await(t, c, func(cl *claim) bool { return cl.Status.Phase == "Bound" }, "persistentvolumeclaim", "data-cartd-0")
}

// slices of a service say where it is; there is one pod, and so one endpoint.
type endpointSlices struct {
	Items []struct {
		Endpoints []struct {
			Addresses  []string
			Conditions struct{ Ready, Serving, Terminating bool }
		}
		Ports []struct {
			Name string
			Port int
		}
	}
}

// awaitEndpoint waits until the one endpoint of a service is as wanted.
func (c *cluster) awaitEndpoint(t *testing.T, service string, ready, terminating bool) {
	t.Helper()
	await(t, c, func(s *endpointSlices) bool {
		return len(s.Items) == 1 && len(s.Items[0].Endpoints) == 1 &&
			s.Items[0].Endpoints[0].Conditions.Ready == ready && s.Items[0].Endpoints[0].Conditions.Terminating == terminating
	}, "endpointslices", "--selector=kubernetes.io/service-name="+service)
}
