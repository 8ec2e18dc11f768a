package check

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
	disruption "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// matches says if a selector matches. No selector matches nothing, an empty one everything.
func matches(s *meta.LabelSelector, set map[string]string) bool {
	selector, err := meta.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}

// targets returns the ports of containers that a Service's port leads to, among the pods that it selects.
func targets(m manifests, service *core.Service, port core.ServicePort) (found []core.ContainerPort) {
	for _, template := range templates(m) {
		if len(service.Spec.Selector) == 0 || !labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(template.pod.Labels)) {
			continue
		}
		for _, c := range template.pod.Spec.Containers {
			for _, p := range c.Ports {
				if want := port.TargetPort; want.Type == intstr.String && p.Name == want.StrVal || want.Type == intstr.Int && p.ContainerPort == want.IntVal {
					found = append(found, p)
				}
			}
		}
	}
	return found
}

func TestWhatRefersToSomethingFindsIt(t *testing.T) {
	refers := func(m manifests) (complaints []string) {
		complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
		services, accounts, maps := all[*core.Service](m), all[*core.ServiceAccount](m), all[*core.ConfigMap](m)
		anyPod := func(s *meta.LabelSelector) bool {
			return slices.ContainsFunc(templates(m), func(t template) bool { return matches(s, t.pod.Labels) })
		}
		for _, template := range templates(m) {
			pod := &template.pod.Spec
			if template.labels != nil && !matches(template.labels, template.pod.Labels) {
				complain("%s does not know its own pods", template.name)
			}
			if !slices.ContainsFunc(accounts, func(a *core.ServiceAccount) bool { return a.Name == pod.ServiceAccountName }) {
				complain("%s: there is no account %q", template.name, pod.ServiceAccountName)
			}
			for _, c := range pod.Containers {
				for _, source := range c.EnvFrom {
					if source.ConfigMapRef != nil && !slices.ContainsFunc(maps, func(c *core.ConfigMap) bool { return c.Name == source.ConfigMapRef.Name }) {
						complain("%s: there is no ConfigMap %s", template.name, source.ConfigMapRef.Name)
					}
				}
				for _, probe := range []*core.Probe{c.StartupProbe, c.ReadinessProbe, c.LivenessProbe} {
					if template.labels == nil {
						continue // it works, and ends
					}
					if probe == nil || probe.HTTPGet == nil || !slices.ContainsFunc(c.Ports, func(p core.ContainerPort) bool { return p.Name == probe.HTTPGet.Port.StrVal }) {
						complain("%s: container %s lacks a probe, or one asks a port that is not there", template.name, c.Name)
					}
				}
			}
		}
		for _, set := range all[*apps.StatefulSet](m) {
			if !slices.ContainsFunc(services, func(s *core.Service) bool {
				return s.Name == set.Spec.ServiceName && s.Spec.ClusterIP == core.ClusterIPNone
			}) {
				complain("StatefulSet %s: there is no headless Service %s", set.Name, set.Spec.ServiceName)
			}
		}
		for _, service := range services {
			for _, port := range service.Spec.Ports {
				if len(targets(m, service, port)) == 0 {
					complain("Service %s: port %s leads nowhere", service.Name, port.Name)
				}
			}
		}
		for _, ingress := range all[*network.Ingress](m) {
			for _, rule := range ingress.Spec.Rules {
				for _, path := range rule.HTTP.Paths {
					to := path.Backend.Service
					if !slices.ContainsFunc(services, func(s *core.Service) bool {
						return s.Name == to.Name && slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Name == to.Port.Name })
					}) {
						complain("Ingress %s: %s leads nowhere", ingress.Name, path.Path)
					}
				}
			}
		}
		for _, budget := range all[*disruption.PodDisruptionBudget](m) {
			if !anyPod(budget.Spec.Selector) {
				complain("PodDisruptionBudget %s is of no pod", budget.Name)
			}
		}
		for _, policy := range all[*network.NetworkPolicy](m) {
			if !anyPod(&policy.Spec.PodSelector) {
				complain("NetworkPolicy %s is of no pod", policy.Name)
			}
			if len(policy.Spec.PodSelector.MatchLabels) == 0 {
				complain("NetworkPolicy %s is of all pods of the namespace, also of those that are not cartd's", policy.Name)
			}
		}
		return complaints
	}
	holds(t, refers, map[string]spoil{
		"pods that are not its own":    func(m manifests) { first[*apps.StatefulSet](m).Spec.Template.Labels = nil },
		"an account that is missing":   func(m manifests) { first[*core.ServiceAccount](m).Name = "other" },
		"a ConfigMap without its hash": func(m manifests) { first[*core.ConfigMap](m).Name = "cartd" },
		"a probe of no port":           func(m manifests) { _, c := cartd(m); c.LivenessProbe.HTTPGet.Port = intstr.FromString("ops") },
		"no startup probe":             func(m manifests) { _, c := cartd(m); c.StartupProbe = nil },
		"no headless Service":          func(m manifests) { first[*apps.StatefulSet](m).Spec.ServiceName = "cartd" },
		"a Service of nothing":         func(m manifests) { first[*core.Service](m).Spec.Selector["x"] = "y" },
		"a Service of a missing port":  func(m manifests) { first[*core.Service](m).Spec.Ports[0].TargetPort = intstr.FromInt32(80) },
		"an Ingress to nothing": func(m manifests) {
			first[*network.Ingress](m).Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port.Name = "https"
		},
		"a budget of nothing":  func(m manifests) { first[*disruption.PodDisruptionBudget](m).Spec.Selector.MatchLabels["x"] = "y" },
		"a policy of nothing":  func(m manifests) { first[*network.NetworkPolicy](m).Spec.PodSelector.MatchLabels["x"] = "y" },
		"a policy of all pods": func(m manifests) { first[*network.NetworkPolicy](m).Spec.PodSelector = meta.LabelSelector{} },
	})
}

// What monitors look for is in another kustomization than they are.
func TestServiceMonitorsFindTheOperationsPort(t *testing.T) {
	found := func(m manifests) (complaints []string) {
		for _, monitor := range all[*monitoring.ServiceMonitor](m) {
			for _, endpoint := range monitor.Spec.Endpoints {
				if !slices.ContainsFunc(all[*core.Service](m), func(s *core.Service) bool {
					where := monitor.Spec.NamespaceSelector
					return (len(where.MatchNames) == 0 && s.Namespace == monitor.Namespace || slices.Contains(where.MatchNames, s.Namespace)) && matches(&monitor.Spec.Selector, s.Labels) &&
						slices.ContainsFunc(s.Spec.Ports, func(p core.ServicePort) bool { return p.Name == endpoint.Port && p.Name == "operations" })
				}) {
					complaints = append(complaints, fmt.Sprintf("ServiceMonitor %s: no Service has its labels and a port %q of operations", monitor.Name, endpoint.Port))
				}
			}
		}
		return complaints
	}
	for _, complaint := range found(everything(t)) {
		t.Error(complaint)
	}
	monitor := func(label, port, namespace string) *monitoring.ServiceMonitor {
		return &monitoring.ServiceMonitor{ObjectMeta: meta.ObjectMeta{Namespace: namespace}, Spec: monitoring.ServiceMonitorSpec{
			Selector: meta.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/name": label}}, Endpoints: []monitoring.Endpoint{{Port: port}}}}
	}
	for _, c := range []struct {
		monitor *monitoring.ServiceMonitor
		want    int
	}{{monitor("cartd", "operations", "cartd"), 0}, {monitor("cart", "operations", "cartd"), 1}, {monitor("cartd", "http", "cartd"), 1}, {monitor("cartd", "operations", "monitoring"), 1}} {
		if got := found(append(mustBuild(t, single), c.monitor)); len(got) != c.want {
			t.Errorf("a monitor of %v has the complaints %q, want %d", c.monitor.Spec, got, c.want)
		}
	}
}

// A drain evicts what the budget lets it evict. A budget that never does would block a node for ever.
func TestBudgetLetsANodeBeDrained(t *testing.T) {
	drains := func(m manifests) (complaints []string) {
		for _, budget := range all[*disruption.PodDisruptionBudget](m) {
			for _, template := range templates(m) {
				if !matches(budget.Spec.Selector, template.pod.Labels) {
					continue
				}
				wanted := 0
				if least := budget.Spec.MinAvailable; least != nil {
					wanted, _ = intstr.GetScaledValueFromIntOrPercent(least, int(template.replicas), true)
				} else if most := budget.Spec.MaxUnavailable; most != nil {
					n, _ := intstr.GetScaledValueFromIntOrPercent(most, int(template.replicas), true)
					wanted = int(template.replicas) - n
				}
				if wanted >= int(template.replicas) {
					complaints = append(complaints, fmt.Sprintf("%s wants %d of %d pods of %s", budget.Name, wanted, template.replicas, template.name))
				}
				if p := budget.Spec.UnhealthyPodEvictionPolicy; p == nil || *p != disruption.AlwaysAllow {
					complaints = append(complaints, budget.Name+" keeps a pod that is not ready")
				}
			}
		}
		return complaints
	}
	budget := func(m manifests) *disruption.PodDisruptionBudgetSpec {
		return &first[*disruption.PodDisruptionBudget](m).Spec
	}
	holds(t, drains, map[string]spoil{
		"a budget of none": func(m manifests) { budget(m).MaxUnavailable = new(intstr.FromInt32(0)) },
		"a budget that wants the only one": func(m manifests) {
			budget(m).MaxUnavailable, budget(m).MinAvailable = nil, new(intstr.FromString("50%"))
		},
		"a pod that is never ready": func(m manifests) { budget(m).UnhealthyPodEvictionPolicy = nil },
	})
}

// peer is somebody who wants to talk to cartd, or whom cartd wants to talk to: a pod, or an address outside.
type peer struct {
	namespace string
	labels    map[string]string
	address   string
}

func (p peer) String() string { return fmt.Sprint(p.namespace, p.labels, p.address) }

func (p peer) is(in network.NetworkPolicyPeer) bool {
	if block := in.IPBlock; block != nil {
		address, err := netip.ParseAddr(p.address)
		return err == nil && netip.MustParsePrefix(block.CIDR).Contains(address) &&
			!slices.ContainsFunc(block.Except, func(x string) bool { return netip.MustParsePrefix(x).Contains(address) })
	}
	return p.namespace != "" &&
		(in.NamespaceSelector == nil && p.namespace == "cartd" || in.NamespaceSelector != nil && matches(in.NamespaceSelector, map[string]string{core.LabelMetadataName: p.namespace})) &&
		(in.PodSelector == nil || matches(in.PodSelector, p.labels))
}

// admits says if the policies let a peer through, as the documentation of NetworkPolicy has it: what no policy selects is
// open, else one of the rules has to name port and peer; a rule without ports or without peers is for all of them.
func admits(m manifests, direction network.PolicyType, protocol core.Protocol, port int32, p peer) bool {
	pod := first[*apps.StatefulSet](m).Spec.Template.Labels
	selected, admitted := false, false
	through := func(ports []network.NetworkPolicyPort, peers []network.NetworkPolicyPeer) {
		admitted = admitted || (len(ports) == 0 || slices.ContainsFunc(ports, func(x network.NetworkPolicyPort) bool {
			return x.Protocol != nil && *x.Protocol == protocol && (x.Port == nil || x.Port.IntVal == port)
		})) && (len(peers) == 0 || slices.ContainsFunc(peers, p.is))
	}
	for _, policy := range all[*network.NetworkPolicy](m) {
		if !matches(&policy.Spec.PodSelector, pod) || !slices.Contains(policy.Spec.PolicyTypes, direction) {
			continue
		}
		selected = true
		if direction == network.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				through(rule.Ports, rule.From)
			}
		} else {
			for _, rule := range policy.Spec.Egress {
				through(rule.Ports, rule.To)
			}
		}
	}
	return !selected || admitted
}

func TestNetworkPolicyLetsThroughWhatIsNeededAndNothingElse(t *testing.T) {
	prometheus := map[string]string{"app.kubernetes.io/name": "prometheus"}
	dns := map[string]string{"k8s-app": "kube-dns"}
	const in, out = network.PolicyTypeIngress, network.PolicyTypeEgress
	cases := []struct {
		direction network.PolicyType
		protocol  core.Protocol
		port      int32
		peer      peer
		want      bool
	}{
		{in, "TCP", 8080, peer{namespace: "ingress"}, true},
		{in, "TCP", 8080, peer{address: "203.0.113.9"}, true},
		{in, "TCP", 8081, peer{namespace: "monitoring", labels: prometheus}, true},
		{in, "TCP", 8081, peer{namespace: "monitoring"}, false},
		{in, "TCP", 8081, peer{namespace: "default", labels: prometheus}, false},
		{in, "TCP", 8081, peer{namespace: "cartd", labels: prometheus}, false},
		{in, "TCP", 8081, peer{namespace: "ingress"}, false},
		{in, "TCP", 8081, peer{address: "203.0.113.9"}, false},
		{in, "TCP", 8081, peer{address: "10.1.2.3"}, false},
		{in, "TCP", 22, peer{namespace: "monitoring", labels: prometheus}, false},
		{in, "UDP", 8080, peer{namespace: "ingress"}, false},
		{out, "UDP", 53, peer{namespace: "kube-system", labels: dns}, true},
		{out, "TCP", 53, peer{namespace: "kube-system", labels: dns}, true},
		{out, "UDP", 53, peer{address: "169.254.20.10"}, true},
		{out, "UDP", 53, peer{address: "8.8.8.8"}, false},
		{out, "TCP", 443, peer{address: "203.0.113.9"}, true},
		{out, "TCP", 443, peer{address: "2001:db8::9"}, true},
		{out, "TCP", 80, peer{address: "203.0.113.9"}, false},
		{out, "TCP", 443, peer{address: "169.254.169.254"}, false}, // where clouds hand out credentials
		{out, "TCP", 80, peer{address: "169.254.169.254"}, false},
		{out, "TCP", 443, peer{address: "10.96.0.1"}, false}, // the API server
		{out, "TCP", 443, peer{address: "fd00::1"}, false},
		{out, "TCP", 4317, peer{namespace: "monitoring"}, true},
		{out, "TCP", 4318, peer{namespace: "monitoring"}, true},
		{out, "TCP", 4317, peer{namespace: "default"}, false},
		{out, "TCP", 5432, peer{namespace: "default"}, false},
	}
	policed := func(m manifests) (complaints []string) {
		if len(all[*apps.StatefulSet](m)) == 0 {
			return nil
		}
		for _, c := range cases {
			if got := admits(m, c.direction, c.protocol, c.port, c.peer); got != c.want {
				complaints = append(complaints, fmt.Sprintf("%s %s %d %v: %v, want %v", c.direction, c.protocol, c.port, c.peer, got, c.want))
			}
		}
		return complaints
	}
	policy := func(m manifests) *network.NetworkPolicySpec { return &first[*network.NetworkPolicy](m).Spec }
	holds(t, policed, map[string]spoil{
		"operations for all":               func(m manifests) { policy(m).Ingress[1].From = nil },
		"operations for all of monitoring": func(m manifests) { policy(m).Ingress[1].From[0].PodSelector = nil },
		"operations for any Prometheus":    func(m manifests) { policy(m).Ingress[1].From[0].NamespaceSelector = &meta.LabelSelector{} },
		"the public rule for all ports":    func(m manifests) { policy(m).Ingress[0].Ports = nil },
		"all ways out":                     func(m manifests) { policy(m).PolicyTypes = []network.PolicyType{in} },
		"no names":                         func(m manifests) { policy(m).Egress = policy(m).Egress[1:] },
		"webhooks to private addresses":    func(m manifests) { policy(m).Egress[1].To[0].IPBlock.Except = nil },
		"a second policy that opens all": func(m manifests) {
			policy(m).Ingress = append(policy(m).Ingress, network.NetworkPolicyIngressRule{})
		},
	})
}

// The numbers of the policy are those of the containers' ports, and the public Service has the public one alone.
func TestOnlyTheHeadlessServiceLeadsToTheOperationsPort(t *testing.T) {
	apart := func(m manifests) (complaints []string) {
		for _, service := range all[*core.Service](m) {
			for _, port := range service.Spec.Ports {
				for _, target := range targets(m, service, port) {
					want := map[string]int32{"cartd": 8080, "cartd-operations": 8081}[service.Name]
					if target.ContainerPort != want || service.Spec.Type != "" && service.Spec.Type != core.ServiceTypeClusterIP {
						complaints = append(complaints, fmt.Sprintf("Service %s (%s) leads to port %d, want %d", service.Name, service.Spec.Type, target.ContainerPort, want))
					}
				}
			}
		}
		for _, ingress := range all[*network.Ingress](m) {
			for _, rule := range ingress.Spec.Rules {
				for _, path := range rule.HTTP.Paths {
					if path.Backend.Service.Name != "cartd" {
						complaints = append(complaints, "Ingress leads to "+path.Backend.Service.Name)
					}
				}
			}
		}
		return complaints
	}
	holds(t, apart, map[string]spoil{
		"operations in the public Service": func(m manifests) {
			s := first[*core.Service](m)
			s.Spec.Ports = append(s.Spec.Ports, core.ServicePort{Name: "operations", Port: 8081, TargetPort: intstr.FromString("operations")})
		},
		"operations outside": func(m manifests) { all[*core.Service](m)[1].Spec.Type = core.ServiceTypeNodePort },
		"operations by the Ingress": func(m manifests) {
			first[*network.Ingress](m).Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "cartd-operations"
		},
		"ports that changed places": func(m manifests) {
			_, c := cartd(m)
			c.Ports[0].ContainerPort, c.Ports[1].ContainerPort = 8081, 8080
		},
	})
}
