package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// template is what a workload makes pods of.
type template struct {
	name     string
	labels   *meta.LabelSelector // that the workload looks for; nil: none
	pod      *core.PodTemplateSpec
	replicas int32
}

// templates returns what pods are made of, whatever makes them.
func templates(m manifests) (list []template) {
	for _, o := range m {
		switch o := o.(type) {
		case *apps.StatefulSet:
			list = append(list, template{"StatefulSet " + o.Name, o.Spec.Selector, &o.Spec.Template, replicas(o.Spec.Replicas)})
		case *apps.Deployment:
			list = append(list, template{"Deployment " + o.Name, o.Spec.Selector, &o.Spec.Template, replicas(o.Spec.Replicas)})
		case *apps.DaemonSet:
			list = append(list, template{"DaemonSet " + o.Name, o.Spec.Selector, &o.Spec.Template, 1})
		case *batch.Job:
			list = append(list, template{"Job " + o.Name, nil, &o.Spec.Template, 1})
		case *batch.CronJob:
			list = append(list, template{"CronJob " + o.Name, nil, &o.Spec.JobTemplate.Spec.Template, 1})
		case *core.Pod:
			list = append(list, template{"Pod " + o.Name, nil, &core.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}, 1})
		}
	}
	return list
}

func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// cartd returns the pod and the container of a workload of cartd.
func cartd(m manifests) (*core.PodSpec, *core.Container) {
	pod := &first[*apps.StatefulSet](m).Spec.Template.Spec
	return pod, &pod.Containers[0]
}

func TestEveryPodIsAtTheRestrictedLevel(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := func(m manifests) (complaints []string) {
		for _, template := range templates(m) {
			result := policy.AggregateCheckResults(evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &template.pod.ObjectMeta, &template.pod.Spec))
			if !result.Allowed {
				complaints = append(complaints, template.name+": "+result.ForbiddenDetail())
			}
		}
		return complaints
	}
	holds(t, restricted, map[string]spoil{
		"a pod that may be root":     func(m manifests) { pod, _ := cartd(m); pod.SecurityContext.RunAsNonRoot = nil },
		"a pod that is root":         func(m manifests) { pod, _ := cartd(m); pod.SecurityContext.RunAsUser = new(int64(0)) },
		"a pod without seccomp":      func(m manifests) { pod, _ := cartd(m); pod.SecurityContext.SeccompProfile = nil },
		"capabilities that are kept": func(m manifests) { _, c := cartd(m); c.SecurityContext.Capabilities = nil },
		"privileges that may be got": func(m manifests) { _, c := cartd(m); c.SecurityContext.AllowPrivilegeEscalation = nil },
		"a directory of the node": func(m manifests) {
			pod, _ := cartd(m)
			pod.Volumes = []core.Volume{{Name: "x", VolumeSource: core.VolumeSource{HostPath: &core.HostPathVolumeSource{Path: "/"}}}}
		},
		"a second container, loose":     func(m manifests) { pod, _ := cartd(m); pod.InitContainers = []core.Container{{Name: "x"}} },
		"the network of the node":       func(m manifests) { pod, _ := cartd(m); pod.HostNetwork = true },
		"a container that overrides it": func(m manifests) { _, c := cartd(m); c.SecurityContext.RunAsNonRoot = new(false) },
	})
}

// What the restricted level leaves open.
func TestEveryPodIsClosedFurther(t *testing.T) {
	closed := func(m manifests) (complaints []string) {
		for _, template := range templates(m) {
			pod := &template.pod.Spec
			complain := func(format string, args ...any) {
				complaints = append(complaints, template.name+": "+fmt.Sprintf(format, args...))
			}
			if security := pod.SecurityContext; security == nil || security.RunAsUser == nil || security.RunAsGroup == nil || security.FSGroup == nil {
				complain("user, group and fsGroup are not numbers: of a name in an image the kubelet cannot tell that it is not root")
			} else if security.FSGroupChangePolicy == nil || *security.FSGroupChangePolicy != core.FSGroupChangeOnRootMismatch {
				complain("all files of the volume change their group at every start")
			}
			if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
				complain("services set variables CARTD_…")
			}
			for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
				if c.SecurityContext == nil || c.SecurityContext.ReadOnlyRootFilesystem == nil || !*c.SecurityContext.ReadOnlyRootFilesystem {
					complain("container %s can write to its image", c.Name)
				}
				for _, name := range []core.ResourceName{core.ResourceCPU, core.ResourceMemory} {
					if c.Resources.Requests[name] == (resource.Quantity{}) || c.Resources.Limits[name] == (resource.Quantity{}) {
						complain("container %s has no request or no limit of %s", c.Name, name)
					}
				}
			}
		}
		return complaints
	}
	holds(t, closed, map[string]spoil{
		"an image that can be written": func(m manifests) { _, c := cartd(m); c.SecurityContext.ReadOnlyRootFilesystem = new(false) },
		"no user":                      func(m manifests) { pod, _ := cartd(m); pod.SecurityContext.RunAsUser = nil },
		"no group of the volume":       func(m manifests) { pod, _ := cartd(m); pod.SecurityContext.FSGroup = nil },
		"no policy of the group":       func(m manifests) { pod, _ := cartd(m); pod.SecurityContext.FSGroupChangePolicy = nil },
		"service links":                func(m manifests) { pod, _ := cartd(m); pod.EnableServiceLinks = nil },
		"no limit of memory":           func(m manifests) { _, c := cartd(m); delete(c.Resources.Limits, core.ResourceMemory) },
		"no request of processors":     func(m manifests) { _, c := cartd(m); delete(c.Resources.Requests, core.ResourceCPU) },
	})
}

// variable returns what a container's variable is once the kubelet has made it of the resources, as it does.
func variable(c *core.Container, name string) (resource.Quantity, bool) {
	for _, v := range c.Env {
		if v.Name != name {
			continue
		}
		if v.ValueFrom == nil || v.ValueFrom.ResourceFieldRef == nil {
			q, err := resource.ParseQuantity(strings.TrimSuffix(v.Value, "B")) // Go's MiB is Kubernetes' Mi
			return q, err == nil
		}
		kind, what, _ := strings.Cut(v.ValueFrom.ResourceFieldRef.Resource, ".")
		from := map[string]core.ResourceList{"requests": c.Resources.Requests, "limits": c.Resources.Limits}[kind]
		q, ok := from[core.ResourceName(what)]
		return q, ok
	}
	return resource.Quantity{}, false
}

func TestGoKnowsItsMemoryAndItsProcessors(t *testing.T) {
	tuned := func(m manifests) (complaints []string) {
		for _, template := range templates(m) {
			for _, c := range template.pod.Spec.Containers {
				if c.Name != "cartd" {
					continue
				}
				limit := c.Resources.Limits[core.ResourceMemory]
				heap, ok := variable(&c, "GOMEMLIMIT")
				if !ok || heap.Value() > limit.Value()*8/10 || heap.Value() < limit.Value()/2 {
					complaints = append(complaints, fmt.Sprintf("%s: GOMEMLIMIT is %v, want half to eight tenths of the limit of %v", template.name, &heap, &limit))
				}
				processors := c.Resources.Limits[core.ResourceCPU]
				if threads, ok := variable(&c, "GOMAXPROCS"); !ok || threads.Value() != processors.Value() { // Value rounds up, as the kubelet does
					complaints = append(complaints, fmt.Sprintf("%s: GOMAXPROCS is %v, want the limit of %v", template.name, &threads, &processors))
				}
			}
		}
		return complaints
	}
	set := func(name string, source core.EnvVar) spoil {
		return func(m manifests) {
			_, c := cartd(m)
			c.Env = slices.DeleteFunc(c.Env, func(v core.EnvVar) bool { return v.Name == name })
			if source.Name != "" {
				c.Env = append(c.Env, source)
			}
		}
	}
	holds(t, tuned, map[string]spoil{
		"no GOMEMLIMIT":                     set("GOMEMLIMIT", core.EnvVar{}),
		"no GOMAXPROCS":                     set("GOMAXPROCS", core.EnvVar{}),
		"a GOMEMLIMIT that is all there is": set("GOMEMLIMIT", core.EnvVar{Name: "GOMEMLIMIT", Value: "1GiB"}),
		"a GOMEMLIMIT that is too small":    set("GOMEMLIMIT", core.EnvVar{Name: "GOMEMLIMIT", Value: "100MiB"}),
		"a limit below the request": func(m manifests) {
			_, c := cartd(m)
			c.Resources.Limits[core.ResourceMemory] = resource.MustParse("700Mi")
		},
	})
}

func TestCartsOutliveWhatIsDoneToTheStatefulSet(t *testing.T) {
	safe := func(m manifests) (complaints []string) {
		for _, set := range all[*apps.StatefulSet](m) {
			spec := set.Spec
			if len(spec.VolumeClaimTemplates) == 0 {
				continue
			}
			complain := func(text string) { complaints = append(complaints, set.Name+": "+text) }
			retain := apps.RetainPersistentVolumeClaimRetentionPolicyType
			if p := spec.PersistentVolumeClaimRetentionPolicy; p == nil || p.WhenDeleted != retain || p.WhenScaled != retain {
				complain("its volume goes with it")
			}
			if replicas(spec.Replicas) != 1 {
				complain("more than one process with files of its own: carts would be on one of them")
			}
			for _, claim := range spec.VolumeClaimTemplates {
				if !slices.Equal(claim.Spec.AccessModes, []core.PersistentVolumeAccessMode{core.ReadWriteOncePod}) {
					complain("volume " + claim.Name + " can be in two pods")
				}
			}
			if spec.PodManagementPolicy != apps.ParallelPodManagement {
				complain("a pod that never gets ready is not replaced by an update")
			}
		}
		return complaints
	}
	holds(t, safe, map[string]spoil{
		"a volume that goes": func(m manifests) {
			first[*apps.StatefulSet](m).Spec.PersistentVolumeClaimRetentionPolicy.WhenDeleted = "Delete"
		},
		"two replicas": func(m manifests) { first[*apps.StatefulSet](m).Spec.Replicas = new(int32(2)) },
		"a shared volume": func(m manifests) {
			first[*apps.StatefulSet](m).Spec.VolumeClaimTemplates[0].Spec.AccessModes = []core.PersistentVolumeAccessMode{core.ReadWriteMany}
		},
		"an update that waits for ever": func(m manifests) { first[*apps.StatefulSet](m).Spec.PodManagementPolicy = "" },
	})
	if claims := first[*apps.StatefulSet](mustBuild(t, single)).Spec.VolumeClaimTemplates; len(claims) != 1 {
		t.Errorf("overlays/single has %d volumes, want 1", len(claims))
	}
}
