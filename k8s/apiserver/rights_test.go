package apiserver

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// account is the name by which the API server knows cartd's service account.
const account = "system:serviceaccount:" + namespace + ":cartd"

// cartd's account may do in its namespace what any account may that nobody has given a right.
func TestServiceAccountHasNoRights(t *testing.T) {
	c := startCluster(t, true)
	c.kubectl(t, "apply", "--filename="+namespaceFile)
	c.kubectl(t, "apply", "--kustomize="+single)
	c.kubectl(t, "create", "serviceaccount", "nobody", "--namespace=default")
	rights := func(who string) []string {
		return lines(c.kubectl(t, "auth", "can-i", "--list", "--no-headers", "--as="+who, "--namespace="+namespace))
	}
	want := rights("system:serviceaccount:default:nobody")
	if got := rights(account); !slices.Equal(got, want) {
		t.Errorf("cartd's account may\n%s\nwant what every account may\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, right := range want { // and that is to ask what it may, and what the server is
		if !strings.Contains(right, "selfsubject") && !strings.Contains(right, "[/") {
			t.Errorf("every account may %s", right)
		}
	}
	// The same with a token of the account instead of the administrator's word.
	token := strings.TrimSpace(c.kubectl(t, "create", "token", "cartd", "--namespace="+namespace))
	c.refused(t, []string{"Forbidden", account}, "", "--kubeconfig="+c.tokenConfig(t, token), "get", "secrets", "--namespace="+namespace)
	// A right that somebody binds to it would be seen.
	c.kubectl(t, "create", "role", "reader", "--namespace="+namespace, "--verb=get", "--resource=secrets")
	c.kubectl(t, "create", "rolebinding", "reader", "--namespace="+namespace, "--role=reader", "--serviceaccount="+namespace+":cartd")
	if slices.Equal(rights(account), want) {
		t.Error("a right was bound to cartd's account, and its list of rights is the same")
	}
}

// lines are the lines of a text in order, with single spaces.
func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		all = append(all, strings.Join(strings.Fields(line), " "))
	}
	slices.Sort(all)
	return all
}

// The pod cannot talk to the API server: nothing in it holds a token.
func TestPodHasNoToken(t *testing.T) {
	c, p := deploy(t, single)
	if got := p.tokens(); len(got) != 0 {
		t.Errorf("the pod has the token volumes %v", got)
	}
	// A pod that says nothing about it has one: that is what is looked for.
	c.kubectl(t, "create", "serviceaccount", "talks", "--namespace=default")
	c.kubectlWith(t, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"talks"},"spec":{"serviceAccountName":"talks","containers":[{"name":"c","image":"i"}]}}`,
		"create", "--filename=-", "--namespace=default")
	var other pod
	if err := json.Unmarshal([]byte(c.kubectl(t, "get", "pod", "talks", "--namespace=default", "--output=json")), &other); err != nil {
		t.Fatal(err)
	}
	if len(other.tokens()) != 1 || !slices.ContainsFunc(other.Spec.Containers[0].VolumeMounts, inSecrets) {
		t.Errorf("a pod with a token has the volumes %+v", other.Spec.Volumes)
	}
	if slices.ContainsFunc(p.Spec.Containers[0].VolumeMounts, inSecrets) {
		t.Errorf("the pod mounts %+v", p.Spec.Containers[0].VolumeMounts)
	}
}

func inSecrets(m struct{ Name, MountPath string }) bool {
	return strings.HasPrefix(m.MountPath, "/var/run/secrets")
}

// tokens are the volumes with a token of the pod's account.
func (p *pod) tokens() (names []string) {
	for _, v := range p.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source["serviceAccountToken"] != nil {
				names = append(names, v.Name)
			}
		}
	}
	return names
}

// The namespace takes pods of the restricted level alone, whoever makes them.
func TestPodsThatAskForMoreAreRefused(t *testing.T) {
	c := startCluster(t, true)
	c.kubectl(t, "apply", "--filename="+namespaceFile)
	c.kubectl(t, "create", "serviceaccount", "any", "--namespace="+namespace)
	restricted := func() object {
		return object{"allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": object{"drop": []string{"ALL"}}, "seccompProfile": object{"type": "RuntimeDefault"}}
	}
	spec := func(of, container object) string {
		container["name"], container["image"] = "c", "i"
		of["serviceAccountName"], of["containers"] = "any", []object{container}
		b, err := json.Marshal(object{"apiVersion": "v1", "kind": "Pod", "metadata": object{"name": "p"}, "spec": of})
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	with := func(name string, value any) object {
		o := restricted()
		o[name] = value
		return object{"securityContext": o}
	}
	create := []string{"create", "--dry-run=server", "--filename=-", "--namespace=" + namespace}
	c.kubectlWith(t, spec(object{}, object{"securityContext": restricted()}), create...) // so it is these that are refused:
	for _, bad := range []struct {
		reason string
		pod    string
	}{
		{"seccompProfile", spec(object{}, object{})},
		{"privileged", spec(object{}, object{"securityContext": object{"privileged": true}})},
		{"allowPrivilegeEscalation", spec(object{}, with("allowPrivilegeEscalation", true))},
		{"runAsNonRoot", spec(object{}, with("runAsNonRoot", false))},
		{"runAsUser", spec(object{}, with("runAsUser", 0))},
		{"unrestricted capabilities", spec(object{}, with("capabilities", object{"add": []string{"SYS_ADMIN"}}))},
		{"host namespaces", spec(object{"hostNetwork": true}, object{"securityContext": restricted()})},
		{"restricted volume types", spec(object{"volumes": []object{{"name": "host", "hostPath": object{"path": "/"}}}}, object{"securityContext": restricted()})},
	} {
		t.Run(bad.reason, func(t *testing.T) {
			c.refused(t, []string{"(Forbidden)", `violates PodSecurity "restricted:latest"`, bad.reason}, bad.pod, create...)
		})
	}
}
