// Package apiserver holds tests alone: what k8s/ says is given to a real Kubernetes API server, with etcd behind it and
// kube-controller-manager beside it, all on loopback.
//
// `make k8s-test` builds the programs (build; some minutes once, then nothing) and runs the tests. The module is one of its
// own because these programs are a hundred times what cartd is; the tests themselves need the standard library and kubectl.
//
// There is no kubelet, no scheduler, no network and no storage: no container runs. What a node would do to a pod (bind it,
// report its status, end it) a test does with kubectl, step by step, or lets node do it. docs/kubernetes.md has the list of
// what is proven by this and what is not.
package apiserver
