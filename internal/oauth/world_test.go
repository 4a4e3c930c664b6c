package oauth_test

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kb/internal/oauth"
	"kb/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an authorization server and the flows of a client that trusts it.
type world struct {
	*testkit.AuthServer
	t      *testing.T
	ca     *testkit.CA
	clock  *clock
	flows  *oauth.Flows
	client oauth.Client
}

// clock is moved by whoever waits on it.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.waits = append(c.waits, d)
	ch := make(chan time.Time, 1)
	ch <- c.now
	return ch
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ca, err := testkit.NewCA("oauth test")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, ca: ca, clock: &clock{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)},
		AuthServer: testkit.StartAuthServer(t, ca), client: oauth.Client{ID: "cli"},
	}
	w.AddClient("cli", "")
	w.SetNow(w.clock.Now)
	w.flows = oauth.New(oauth.Options{Client: ca.Client(t), Now: w.clock.Now, After: w.clock.After})
	return w
}

// server is the authorization server as a definition describes it.
func (w *world) server() oauth.Server {
	return oauth.Server{
		Issuer: w.Issuer, Authorization: w.Endpoint("authorize"), Token: w.Endpoint("token"), Device: w.Endpoint("device"),
		Revocation: w.Endpoint("revoke"), Registration: w.Endpoint("register"), ISS: true, ClientAuth: oauth.AuthNone,
	}
}

// start starts a code flow.
func (w *world) start(s oauth.Server) *oauth.Loopback {
	w.t.Helper()
	l, err := w.flows.Loopback(w.ctx(), s, w.client, []string{"read"})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(l.Close)
	return l
}

// browse opens a URL as a browser would, up to the address that it is sent to.
func (w *world) browse(address string) *url.URL {
	w.t.Helper()
	res := w.do(http.MethodGet, address)
	to, err := res.Location()
	if err != nil {
		w.t.Fatalf("the authorization endpoint answered %d", res.StatusCode)
	}
	return to
}

// do asks an address once and reads its answer to the end.
func (w *world) do(method, address string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx(), method, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := w.ca.Client(w.t).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = res.Body.Close()
	return res
}

// ctx ends with the test, and ends a flow that hangs.
func (w *world) ctx() context.Context {
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	w.t.Cleanup(cancel)
	return ctx
}
