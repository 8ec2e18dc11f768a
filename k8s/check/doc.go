// Package check has no code of its own: its tests hold the manifests under k8s/ to what a strict cluster accepts, and to
// what cartd promises there.
//
// Each kustomization is built by the code that `kubectl apply -k` builds it with, and every document is decoded
// strictly: an unknown kind, an unknown field or one that is there twice fails. Then rules are applied to what was built.
// A rule comes with manifests that break it on purpose, and fails if it does not find them.
//
// It is a module of its own, so that what cartd is made of has nothing of Kubernetes in it. What only an API server can
// tell is for k8s/apiserver.
package check
