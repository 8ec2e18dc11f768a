package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every wait. It is far more than anything takes: a test that meets it has failed.
const patience = 90 * time.Second

// binVariable names the folder of the programs. `make k8s-test` sets it, and then the tests must run.
const binVariable = "CARTD_K8S_BIN"

// programs is the folder with etcd, kube-apiserver, kube-controller-manager and kubectl.
func programs(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(binVariable); dir != "" {
		return dir
	}
	dir := filepath.Join(repository(t), "bin", "k8s")
	if _, err := os.Stat(filepath.Join(dir, "made-of")); err != nil {
		t.Skip("SKIPPED: NOTHING IS TESTED AGAINST AN API SERVER: it is not built here; `make k8s-test` does so")
	}
	return dir
}

// repository is the root of the checkout.
func repository(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// cluster is an API server with its store, and the administrator's kubectl.
type cluster struct {
	dir, url string
	ca       *authority
	env      []string // for kubectl: PATH, KUBECONFIG and a HOME of its own
}

// startCluster starts an empty cluster on free ports of loopback: with kube-controller-manager, or without, when nothing
// would happen to what is stored. Pod Security admission is on, as it always is. flags are more of kube-apiserver's.
func startCluster(t *testing.T, controllers bool, flags ...string) *cluster {
	t.Helper()
	t.Parallel() // a cluster mostly waits, for one part of it or another
	began := time.Now()
	c := &cluster{dir: t.TempDir(), ca: newAuthority(t)}
	store, peers := freeAddress(t), freeAddress(t)
	etcd := start(t, c.dir, "etcd", "--name=test", "--data-dir="+filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://"+store, "--advertise-client-urls=http://"+store,
		"--listen-peer-urls=http://"+peers, "--initial-advertise-peer-urls=http://"+peers, "--initial-cluster=test=http://"+peers)

	server, key := c.ca.server(t), keyPEM(t, newKey(t)) // key signs the tokens of service accounts
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	c.url = "https://" + address
	api := start(t, c.dir, "kube-apiserver", append(flags, "--etcd-servers=http://"+store, "--bind-address=127.0.0.1", "--secure-port="+port,
		// What runs in pods would find the server at this address; there are no pods that run.
		"--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24",
		"--cert-dir="+c.dir, "--tls-cert-file="+c.write(t, "server.crt", server.cert), "--tls-private-key-file="+c.write(t, "server.key", server.key),
		"--client-ca-file="+c.write(t, "ca.crt", c.ca.pem), "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+c.write(t, "accounts.key", key),
		"--service-account-signing-key-file="+filepath.Join(c.dir, "accounts.key"),
		// So that privileged pods are refused by admission, and not because this server knows none.
		"--allow-privileged=true", "--profiling=false")...)

	admin := c.ca.client(t, "admin", "system:masters")
	c.env = append(os.Environ(), "PATH="+programs(t)+":"+os.Getenv("PATH"), "HOME="+c.dir,
		"KUBECONFIG="+c.kubeconfig(t, "admin", admin))
	c.awaitReady(t, admin, etcd, api)
	if controllers {
		// Nobody sends a node's heartbeats, so nobody may conclude from that.
		start(t, c.dir, "kube-controller-manager", "--kubeconfig="+c.kubeconfig(t, "controllers", c.ca.client(t, "system:kube-controller-manager")),
			"--controllers=*,-node-lifecycle-controller", "--use-service-account-credentials", "--leader-elect=false", "--secure-port=0",
			"--service-account-private-key-file="+filepath.Join(c.dir, "accounts.key"), "--root-ca-file="+filepath.Join(c.dir, "ca.crt"), "--profiling=false")
		c.kubectl(t, "wait", "--for=create", "--timeout=90s", "serviceaccount/default", "--namespace=default")
	}
	t.Logf("the cluster is there after %v", time.Since(began).Round(100*time.Millisecond))
	return c
}

// awaitReady returns when the server says that it is ready.
func (c *cluster) awaitReady(t *testing.T, id identity, programs ...*process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: c.ca.tlsConfig(t, id)}
	defer transport.CloseIdleConnections()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := transport.RoundTrip(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		for _, p := range programs {
			select {
			case <-p.exited:
				t.Fatalf("%s has ended", p.name)
			default:
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the API server is not ready after %v", patience)
		case <-time.After(50 * time.Millisecond): // another program: there is no other way to hear of it
		}
	}
}

// write stores a file of the cluster and returns its path.
func (c *cluster) write(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubeconfig writes the configuration with which kubectl is this user.
func (c *cluster) kubeconfig(t *testing.T, name string, id identity) string {
	t.Helper()
	return c.configFor(t, name, object{"client-certificate-data": id.cert, "client-key-data": id.key})
}

// tokenConfig is kubeconfig for who has this token.
func (c *cluster) tokenConfig(t *testing.T, token string) string {
	t.Helper()
	return c.configFor(t, "token", object{"token": token})
}

func (c *cluster) configFor(t *testing.T, name string, user object) string {
	t.Helper()
	b, err := json.Marshal(object{ // JSON is YAML, and []byte becomes base64, as it has to be
		"apiVersion": "v1", "kind": "Config", "current-context": "test",
		"clusters": []object{{"name": "test", "cluster": object{"server": c.url, "certificate-authority-data": c.ca.pem}}},
		"users":    []object{{"name": name, "user": user}},
		"contexts": []object{{"name": "test", "context": object{"cluster": "test", "user": name}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.write(t, name+".kubeconfig", b)
}

// command is a program that finds the built kubectl, and this cluster in its environment, at the root of the checkout. It is
// killed when the test ends or patience does.
func (c *cluster) command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return c.commandIn(ctx, t, name, args...)
}

// commandIn is command with the time that ctx gives it.
func (c *cluster) commandIn(ctx context.Context, t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	if name == "kubectl" {
		name = filepath.Join(programs(t), name)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = repository(t), c.env, endsWithParent()
	return cmd
}

// ports counts the ports that were tried. A program listens at its port some time after that was found free, and clusters start
// side by side: none is given twice.
var ports = func() *atomic.Uint32 {
	first := new(atomic.Uint32)
	first.Store(rand.Uint32N(12000))
	return first
}()

// freeAddress is an address of loopback that nobody listens at. Its port is below those that systems give to connections, one
// of which could have it before the program that is to listen there.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+ports.Add(1)%12000)
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no port is free on 127.0.0.1")
	panic("not reached")
}
