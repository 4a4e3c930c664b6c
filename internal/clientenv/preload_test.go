package clientenv

import (
	"bufio"
	"encoding/base64"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"kb/internal/testkit"
)

// tunnels is a CONNECT proxy into a test world. It wants Basic kb:token, and
// remembers what it was asked for.
type tunnels struct {
	w    *testkit.World
	addr string

	mu    sync.Mutex
	asked []string
}

func newTunnels(t *testing.T, w *testkit.World) *tunnels {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tunnels{w: w, addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(t, c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return p
}

func (p *tunnels) serve(t *testing.T, c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	req, err := http.ReadRequest(r)
	if err != nil {
		return
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("kb:to/ken"))
	switch {
	case req.Method != http.MethodConnect:
		_, _ = io.WriteString(c, "HTTP/1.1 405 Method Not Allowed\r\n\r\n")
		return
	case req.Header.Get("Proxy-Authorization") != want:
		_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
		return
	case strings.HasPrefix(req.Host, "refused."):
		_, _ = io.WriteString(c, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	p.mu.Lock()
	p.asked = append(p.asked, req.Host)
	p.mu.Unlock()
	host, port, _ := net.SplitHostPort(req.Host)
	ips, err := p.w.Resolver().LookupNetIP(t.Context(), "ip", host)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	up, err := p.w.Dial(t.Context(), "tcp", net.JoinHostPort(ips[0].String(), port))
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer func() { _ = up.Close() }()
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\nX-Any: thing\r\n\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(up, r)
		_ = up.Close()
	}()
	_, _ = io.Copy(c, up)
	_ = c.Close()
	<-done
}

// each runs the test with every Node that this machine has of those that kb
// promises: the one on PATH, and what internal/e2e/install fetched.
func each(t *testing.T, test func(t *testing.T, node string)) {
	t.Helper()
	var found []string
	if node, err := exec.LookPath("node"); err == nil {
		found = append(found, node)
	}
	cache := os.Getenv("KB_E2E_CLIENTS")
	if cache == "" {
		if dir, err := os.UserCacheDir(); err == nil {
			cache = filepath.Join(dir, "kb-e2e")
		}
	}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	for _, v := range []string{"22", "24"} {
		node := filepath.Join(cache, "node_modules", "node"+v+"-"+runtime.GOOS+"-"+arch, "bin", "node")
		if _, err := os.Stat(node); err == nil {
			found = append(found, node)
		}
	}
	if len(found) == 0 {
		t.Skip("node is not installed")
	}
	for _, node := range found {
		version, err := exec.CommandContext(t.Context(), node, "--version").Output()
		if err != nil {
			t.Fatal(err)
		}
		t.Run("node "+strings.TrimSpace(string(version)), func(t *testing.T) { test(t, node) })
	}
}

// with runs a script under the preload and returns what it printed.
func with(t *testing.T, node, script string, env ...string) (stdout, stderr string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "preload.cjs")
	if err := os.WriteFile(file, Preload, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "--input-type=module", "-e", script)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "NODE_OPTIONS=--require=" + file, "NODE_USE_ENV_PROXY=1"}, env...)
	var out, bad strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &bad
	err = cmd.Run()
	return out.String(), bad.String(), err
}

// ask is a program that asks for a URL in one of the ways there are.
var ask = map[string]string{
	"fetch":        `const r = await fetch(url); console.log(r.status);`,
	"global agent": `import https from 'node:https'; https.get(url, (r) => { r.resume(); console.log(r.statusCode); }).on('error', fail);`,
	"no agent":     `import https from 'node:https'; https.get(url, { agent: false }, (r) => { r.resume(); console.log(r.statusCode); }).on('error', fail);`,
	"own agent": `import { Agent, get } from 'node:https'; const agent = new Agent({ keepAlive: true });
const go = () => new Promise((ok) => get(url, { agent }, (r) => { r.resume(); r.on('end', () => ok(r.statusCode)); }).on('error', fail));
await go(); console.log(await go()); agent.destroy();`,
	"called agent": `import https from 'node:https'; https.get(url, { agent: https.Agent({}) }, (r) => { r.resume(); console.log(r.statusCode); }).on('error', fail);`,
	"old-style heir": `import https from 'node:https'; import util from 'node:util';
function Mine(o) { https.Agent.call(this, o); } util.inherits(Mine, https.Agent);
const agent = new Mine({}); if (!(agent instanceof https.Agent)) throw new Error('not an agent');
https.get(url, { agent }, (r) => { r.resume(); console.log(r.statusCode); }).on('error', fail);`,
	"heir": `import https from 'node:https'; class Mine extends https.Agent { constructor(o) { super(o); this.mine = true; } }
const agent = new Mine({}); if (!agent.mine) throw new Error('lost');
https.get(url, { agent }, (r) => { r.resume(); console.log(r.statusCode); }).on('error', fail);`,
	"commonjs": `import { createRequire } from 'node:module'; const https = createRequire('/')('https');
https.get(url, { agent: new https.Agent() }, (r) => { r.resume(); console.log(r.statusCode); }).on('error', fail);`,
}

func program(how, url string) string {
	return "const url = '" + url + "'; const fail = (e) => { console.error(e.message); process.exit(3); };\n" + ask[how]
}

// A client's own agent goes past the proxy where there is no preload: what the
// other tests defend is there to be lost.
func TestWithoutPreloadAnAgentGoesPast(t *testing.T) {
	each(t, func(t *testing.T, node string) {
		w := testkit.New(t)
		o := w.Serve("localhost", testkit.OriginConfig{})
		p := newTunnels(t, w)
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, w.CA.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		url := "https://" + strings.Replace(w.Listener(o, 443), "127.0.0.1", "localhost", 1) + "/status?code=200"
		out, bad, err := with(t, node, program("own agent", url), "NODE_OPTIONS=", "HTTPS_PROXY=http://kb:to%2Fken@"+p.addr, "NODE_EXTRA_CA_CERTS="+ca)
		if err != nil || out != "200\n" || len(p.asked) != 0 {
			t.Errorf("want an answer without the proxy: %v %s%s, proxy asked for %v", err, out, bad, p.asked)
		}
	})
}

// Every way to make a request goes through the proxy, with its credential, on
// every Node.
func TestPreloadReachesTheProxy(t *testing.T) {
	each(t, func(t *testing.T, node string) {
		w := testkit.New(t)
		w.Serve("api.acme.example", testkit.OriginConfig{})
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, w.CA.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		for how := range ask {
			t.Run(how, func(t *testing.T) {
				p := newTunnels(t, w)
				out, bad, err := with(t, node, program(how, "https://api.acme.example/status?code=200"),
					"HTTPS_PROXY=http://kb:to%2Fken@"+p.addr, "NODE_EXTRA_CA_CERTS="+ca)
				if err != nil || out != "200\n" {
					t.Fatalf("%v: %s%s", err, out, bad)
				}
				if len(p.asked) == 0 || slices.ContainsFunc(p.asked, func(a string) bool { return a != "api.acme.example:443" }) {
					t.Errorf("the proxy was asked for %v", p.asked)
				}
				if how == "own agent" && len(p.asked) != 1 {
					t.Errorf("a kept-alive tunnel was dialled %d times", len(p.asked))
				}
			})
		}
	})
}

// What the proxy refuses is an error that says so, never a way round it.
func TestPreloadKeepsRefusals(t *testing.T) {
	each(t, func(t *testing.T, node string) {
		w := testkit.New(t)
		w.Serve("refused.acme.example", testkit.OriginConfig{})
		for _, how := range []string{"own agent", "no agent", "fetch"} {
			p := newTunnels(t, w)
			out, bad, err := with(t, node, program(how, "https://refused.acme.example/"), "HTTPS_PROXY=http://kb:to%2Fken@"+p.addr)
			if err == nil || out != "" || !strings.Contains(bad, "403") {
				t.Errorf("%s: want an error that names 403, got %v: %s%s", how, err, out, bad)
			}
		}
		if n := len(w.Requests()); n != 0 {
			t.Errorf("%d requests went round the proxy", n)
		}
	})
}

// A dead proxy is an error, NO_PROXY is honoured, and without a usable proxy
// variable the preload does nothing and breaks nothing.
func TestPreloadLeavesTheRestAlone(t *testing.T) {
	each(t, func(t *testing.T, node string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		dead := l.Addr().String()
		_ = l.Close()
		for _, how := range []string{"own agent", "fetch"} {
			if out, bad, err := with(t, node, program(how, "https://api.acme.example/"), "HTTPS_PROXY=http://"+dead); err == nil || !strings.Contains(bad, "ECONNREFUSED") {
				t.Errorf("%s through a dead proxy: %v %s%s", how, err, out, bad)
			}
		}

		// The world's origin on loopback, by its real port: what NO_PROXY names.
		w := testkit.New(t)
		o := w.Serve("localhost", testkit.OriginConfig{})
		ca := filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(ca, w.CA.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
		url := "https://" + strings.Replace(w.Listener(o, 443), "127.0.0.1", "localhost", 1) + "/status?code=200"
		for _, env := range []string{"HTTPS_PROXY=http://" + dead, "HTTPS_PROXY=", "HTTPS_PROXY=rubbish", "A=b"} {
			ways := []string{"fetch", "own agent"}
			if env == "A=b" {
				ways = slices.Sorted(maps.Keys(ask))
			}
			for _, how := range ways {
				out, bad, err := with(t, node, program(how, url), env, "NO_PROXY=.internal, localhost,127.0.0.1,::1", "NODE_EXTRA_CA_CERTS="+ca)
				if err != nil && strings.Contains(env, "rubbish") && strings.Contains(bad, "Invalid URL") {
					continue // Node's own support gives up before the preload runs
				}
				if err != nil || out != "200\n" {
					t.Errorf("%s with %s: %v %s%s", how, env, err, out, bad)
				}
			}
		}
	})
}
