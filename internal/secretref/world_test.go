package secretref_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/secret"
	"kb/internal/secretref"
	"kb/internal/testkit"
)

// canary is the value that every manager here holds. It must be in no error.
const canary = "kb-canary-7f3a9e51"

func decode(b []byte, v any) bool { return json.Unmarshal(b, v) == nil }

func encode(s string) string { b, _ := json.Marshal(s); return string(b) }

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// serve answers for every host with TLS, and returns the client that finds it.
func serve(t *testing.T, h http.Handler) func() (*http.Client, error) {
	t.Helper()
	ca, err := testkit.NewCA("managers")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		return ca.Issue(testkit.Leaf{Names: []string{hello.ServerName}})
	}}
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: ca.Pool()},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func() (*http.Client, error) { return client, nil }
}

// anchors is a device's memory.
type anchors map[string]string

func (a anchors) Anchor(name string) (string, bool, error) { v, ok := a[name]; return v, ok, nil }

func (a anchors) SetAnchor(_ context.Context, name, value string) error {
	a[name] = value
	return nil
}

// device is a home with a folder of programs.
type device struct {
	t    *testing.T
	home string
	bin  string
	o    secretref.Options
	vars map[string]string
}

func newDevice(t *testing.T, pairs ...string) *device {
	t.Helper()
	home := t.TempDir()
	d := &device{t: t, home: home, bin: filepath.Join(home, "bin"), vars: map[string]string{}}
	if err := os.Mkdir(d.bin, 0o700); err != nil {
		t.Fatal(err)
	}
	d.set("PATH=" + d.bin + ":/usr/bin:/bin")
	d.set("HOME=" + home)
	for _, p := range pairs {
		d.set(p)
	}
	d.o = secretref.Options{Getenv: func(name string) string { return d.vars[name] }, Home: home, Dir: "/", Now: newClock().now}
	return d
}

func (d *device) set(pair string) {
	name, value, _ := strings.Cut(pair, "=")
	d.vars[name] = value
}

// resolver sees the variables as they are now.
func (d *device) resolver() *secretref.Resolver {
	var environ []string
	for name, value := range d.vars {
		environ = append(environ, name+"="+value)
	}
	slices.Sort(environ)
	o := d.o
	o.Environ = environ
	return secretref.New(o)
}

// program puts a shell script into the folder of programs.
func (d *device) program(name, script string) string {
	d.t.Helper()
	return d.write(filepath.Join("bin", name), "#!/bin/sh\n"+script+"\n", 0o700)
}

func (d *device) write(name, text string, mode os.FileMode) string {
	d.t.Helper()
	path := filepath.Join(d.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		d.t.Fatal(err)
	}
	return path
}

func resolve(r *secretref.Resolver, ref string) (secret.Value, error) {
	return r.Resolve(context.Background(), ref, nil)
}

// gets wants a value of a reference.
func gets(t *testing.T, r *secretref.Resolver, ref, want string) {
	t.Helper()
	if v, err := resolve(r, ref); err != nil || v.Reveal() != want {
		t.Errorf("%s resolves to %q, %v; want %q", ref, v.Reveal(), err, want)
	}
}

// refuses wants an error that says something, and shows nothing.
func refuses(t *testing.T, r *secretref.Resolver, ref, say string) {
	t.Helper()
	v, err := resolve(r, ref)
	if err == nil {
		t.Errorf("%s resolves to %q; want an error with %q", ref, v.Reveal(), say)
		return
	}
	shows(t, err, say)
}

func shows(t *testing.T, err error, say string) {
	t.Helper()
	text := err.Error()
	if !strings.Contains(text, say) {
		t.Errorf("error %q does not say %q", text, say)
	}
	for _, never := range []string{canary, "body-canary", "\x1b", "\n"} {
		if strings.Contains(text, never) {
			t.Errorf("error %q holds %q", text, never)
		}
	}
}
