package testkit

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// A program that knows nothing of the test resolves, dials and verifies a
// provider's real name, and lands at the origin.
func TestNamespaceServesStrangers(t *testing.T) {
	w := Namespace(t)
	o := w.Serve("api.github.com", OriginConfig{Plain: http.NotFoundHandler()})
	out, err := exec.CommandContext(t.Context(), "curl", "-sS", "-d", "hello", "https://api.github.com/echo").CombinedOutput()
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	reqs := o.Requests()
	if len(reqs) != 1 || string(reqs[0].Body) != "hello" || reqs[0].ALPN != "h2" || reqs[0].Port != 443 || !reqs[0].Ended {
		t.Fatalf("the origin's log is wrong: %+v", reqs)
	}
	if reqs[0].TLSVersion != tls.VersionTLS13 || reqs[0].ServerName != "api.github.com" {
		t.Errorf("TLS facts are wrong: %+v", reqs[0])
	}
	out, _ = exec.CommandContext(t.Context(), "curl", "-sS", "https://nowhere.example/").CombinedOutput()
	if !strings.Contains(string(out), "resolve") {
		t.Errorf("an unknown name must not resolve: %s", out)
	}
	if os.Getuid() != 0 {
		if b, _ := os.ReadFile("/proc/self/status"); !strings.Contains(string(b), "CapEff:\t0000000000000000") {
			t.Error("the tests must run without capabilities")
		}
	}
}

// In process, the same world works through Resolver and Dial, on addresses
// that an address filter lets pass.
func TestWorldInProcess(t *testing.T) {
	w := New(t)
	o := w.Serve("api.openai.com", OriginConfig{HTTP1: true, Plain: Lab()})
	for _, url := range []string{"https://api.openai.com/echo", "http://api.openai.com/echo"} {
		res, err := w.Client().Get(url)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 || !strings.Contains(string(b), `"path": "/echo"`) {
			t.Errorf("%s: %s %s", url, res.Status, b)
		}
	}
	if got := o.Requests(); len(got) != 2 || got[0].Port != 443 || got[1].Port != 80 || got[0].ALPN != "http/1.1" {
		t.Errorf("log is wrong: %+v", got)
	}
	if _, err := w.Dial(context.Background(), "tcp", "127.0.0.1:1"); err == nil || len(w.Dialled()) != 3 {
		t.Errorf("a foreign address must be refused and remembered: %v, %v", err, w.Dialled())
	}
}
