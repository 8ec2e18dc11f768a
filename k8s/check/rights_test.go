package check

import (
	"fmt"
	"regexp"
	"slices"
	"testing"

	core "k8s.io/api/core/v1"
	rbac "k8s.io/api/rbac/v1"
)

func TestCartdHasNoRightsInTheCluster(t *testing.T) {
	powerless := func(m manifests) (complaints []string) {
		for _, template := range templates(m) {
			if mount := template.pod.Spec.AutomountServiceAccountToken; mount == nil || *mount {
				complaints = append(complaints, template.name+" gets a token of the API server")
			}
			if name := template.pod.Spec.ServiceAccountName; name == "" || name == "default" {
				complaints = append(complaints, template.name+" has the account that others may give rights")
			}
		}
		for _, account := range all[*core.ServiceAccount](m) {
			if mount := account.AutomountServiceAccountToken; mount == nil || *mount {
				complaints = append(complaints, "account "+account.Name+" mounts its token")
			}
		}
		subjects := map[string][]rbac.Subject{}
		for _, b := range all[*rbac.RoleBinding](m) {
			subjects["RoleBinding "+b.Name] = b.Subjects
		}
		for _, b := range all[*rbac.ClusterRoleBinding](m) {
			subjects["ClusterRoleBinding "+b.Name] = b.Subjects
		}
		groups := []string{"system:serviceaccounts", "system:serviceaccounts:cartd", "system:authenticated"}
		for name, list := range subjects {
			for _, s := range list {
				if s.Kind == rbac.ServiceAccountKind && s.Name == "cartd" || s.Kind == rbac.GroupKind && slices.Contains(groups, s.Name) ||
					s.Kind == rbac.UserKind && s.Name == "system:serviceaccount:cartd:cartd" {
					complaints = append(complaints, fmt.Sprintf("%s gives rights to %s %s", name, s.Kind, s.Name))
				}
			}
		}
		return complaints
	}
	holds(t, powerless, map[string]spoil{
		"a pod with a token":      func(m manifests) { pod, _ := cartd(m); pod.AutomountServiceAccountToken = nil },
		"the default account":     func(m manifests) { pod, _ := cartd(m); pod.ServiceAccountName = "" },
		"an account with a token": func(m manifests) { first[*core.ServiceAccount](m).AutomountServiceAccountToken = nil },
		"a right of the account": func(m manifests) {
			m[0] = &rbac.RoleBinding{Subjects: []rbac.Subject{{Kind: "ServiceAccount", Name: "cartd", Namespace: "cartd"}}}
		},
		"a right of all accounts": func(m manifests) {
			m[0] = &rbac.ClusterRoleBinding{Subjects: []rbac.Subject{{Kind: "Group", Name: "system:serviceaccounts"}}}
		},
	})
}

// secret is what variables of cartd are called that nobody else may know.
var secret = regexp.MustCompile(`TOKEN|SECRET|PASSWORD|CREDENTIAL`)

func TestSecretsAreNeverInAManifest(t *testing.T) {
	kept := func(m manifests) (complaints []string) {
		for _, s := range all[*core.Secret](m) {
			complaints = append(complaints, "Secret "+s.Name+" is a manifest: what is in it is in git")
		}
		for _, c := range all[*core.ConfigMap](m) {
			for key := range c.Data {
				if secret.MatchString(key) {
					complaints = append(complaints, "ConfigMap "+c.Name+" has "+key)
				}
			}
		}
		for _, template := range templates(m) {
			for _, c := range slices.Concat(template.pod.Spec.InitContainers, template.pod.Spec.Containers) {
				for _, v := range c.Env {
					if secret.MatchString(v.Name) && (v.ValueFrom == nil || v.ValueFrom.SecretKeyRef == nil) {
						complaints = append(complaints, template.name+": "+v.Name+" is not of a Secret")
					}
					if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil && (v.ValueFrom.SecretKeyRef.Optional == nil || !*v.ValueFrom.SecretKeyRef.Optional) {
						complaints = append(complaints, template.name+": without the Secret of "+v.Name+" there would be no cartd")
					}
				}
			}
		}
		return complaints
	}
	env := func(m manifests, name string) *core.EnvVar {
		_, c := cartd(m)
		return &c.Env[slices.IndexFunc(c.Env, func(v core.EnvVar) bool { return v.Name == name })]
	}
	holds(t, kept, map[string]spoil{
		"a Secret": func(m manifests) { m[0] = &core.Secret{} },
		"a token as it is": func(m manifests) {
			*env(m, "CARTD_BACKEND_TOKEN") = core.EnvVar{Name: "CARTD_BACKEND_TOKEN", Value: "x"}
		},
		"a token in the map":      func(m manifests) { first[*core.ConfigMap](m).Data["CARTD_BACKEND_TOKEN"] = "x" },
		"a Secret that has to be": func(m manifests) { env(m, "CARTD_BACKEND_TOKEN").ValueFrom.SecretKeyRef.Optional = nil },
	})
}
