package broker

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"kb/internal/golden"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/internal/testkit"
	"kb/providers"
	"kb/vaultfile"
)

// TestGoldenRequestsArrive drives every hand-written golden request of the
// catalogue through a session's real proxy to a fake upstream under the
// provider's real name, over HTTP/1.1 and HTTP/2.
func TestGoldenRequestsArrive(t *testing.T) {
	files, err := golden.ReadDir("../../providers/testdata/golden")
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t)
	// Golden requests name acme's repositories: nobody's rules claim them here.
	f.edit(func(tx *vaultfile.Tx) error {
		for _, r := range f.broker.Contents().Rules {
			if err := tx.DeleteRule(r.ID); err != nil {
				return err
			}
		}
		return nil
	})
	origins := map[string]*testkit.Origin{}
	sent := 0
	for _, file := range files {
		t.Run(file.Provider, func(t *testing.T) {
			var login *golden.Exchange
			var s *Session
			for i := range file.Exchanges {
				e := &file.Exchanges[i]
				if login == nil || login.Login != e.Login || login.Base != e.Base || !equalFields(login.Fields, e.Fields) {
					s, login = f.goldenSession(t, file.Provider, e), e
				}
				host := e.URL.Hostname()
				if origins[host] == nil {
					origins[host] = f.world.Serve(host, testkit.OriginConfig{Handler: testkit.Echo(), Ports: portsOf(files, host)})
				}
				for _, h2 := range []bool{false, true} {
					f.exchange(t, s, e, origins[host], h2)
					sent++
				}
			}
		})
	}
	t.Logf("%d requests of %d providers", sent, len(files))
	if len(files) < 30 {
		t.Errorf("golden files for %d providers, want at least 30", len(files))
	}
}

func equalFields(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// portsOf lists the ports of a host that golden requests name.
func portsOf(files []*golden.File, host string) []uint16 {
	var ports []uint16
	for _, file := range files {
		for _, e := range file.Exchanges {
			if h, port, err := authorityOf(e.URL); err == nil && h == host && !slices.Contains(ports, port) {
				ports = append(ports, port)
			}
		}
	}
	return ports
}

// goldenSession starts a session whose only login is the exchange's.
func (f *fixture) goldenSession(t *testing.T, provider string, e *golden.Exchange) *Session {
	t.Helper()
	secrets := map[string]secret.Value{}
	for name, value := range e.Fields {
		secrets[name] = secret.New(value)
	}
	login := vaultfile.Login{Profile: "client", Provider: provider, Method: e.Login, Base: e.Base, Secrets: secrets}
	if login.Method == "" {
		definition, err := f.broker.Catalog().Get(provider)
		if err != nil {
			t.Fatal(err)
		}
		login.Method = definition.Login.Default.Name
	}
	err := f.broker.Edit(t.Context(), func(tx *vaultfile.Tx) error {
		for _, l := range f.broker.Contents().Logins {
			if err := tx.DeleteLogin(l.ID); err != nil {
				return err
			}
		}
		return tx.PutLogin(login)
	})
	if err != nil {
		t.Fatal(err)
	}
	f.goldenToken(t, login)
	s, err := f.broker.StartSession(t.Context(), SessionSpec{Dir: f.ossDir, Profile: "client", Environ: f.environ()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// goldenToken gives this device the token of a login whose method yields one.
func (f *fixture) goldenToken(t *testing.T, login vaultfile.Login) {
	t.Helper()
	key := f.broker.tokenKey(keyOf(login))
	if err := f.broker.store.DeleteToken(key); err != nil {
		t.Fatal(err)
	}
	c := f.broker.join(login, nil)
	if !c.flows() {
		return
	}
	token := state.Token{Access: login.Secrets[providers.TokenField], For: c.what, State: StateOK}
	if err := f.broker.store.PutToken(t.Context(), key, token); err != nil {
		t.Fatal(err)
	}
}

// asksForTokens reports whether a golden request goes to the token endpoint of
// the session's login, where nothing passes.
func asksForTokens(s *Session, e *golden.Exchange) bool {
	host, port, err := authorityOf(e.URL)
	return err == nil && slices.ContainsFunc(s.snapshot.Load().at(host, port), func(c *credentials) bool {
		return c.asksForTokens(host, port, e.URL.Path)
	})
}

// exchange sends one golden request and compares what arrived.
func (f *fixture) exchange(t *testing.T, s *Session, e *golden.Exchange, origin *testkit.Origin, h2 bool) {
	t.Helper()
	origin.Forget()
	proxyURL, err := url.Parse(value(s, "HTTPS_PROXY"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	bundle, err := os.ReadFile(value(s, "SSL_CERT_FILE"))
	if err != nil || !pool.AppendCertsFromPEM(bundle) {
		t.Fatalf("read the child's bundle: %v", err)
	}
	transport := &http.Transport{
		Proxy: http.ProxyURL(proxyURL), ForceAttemptHTTP2: h2,
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), e.Method, e.URL.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range e.Header {
		request.Header.Add(h.Name, h.Value)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s: %v", e.Title, err)
	}
	body, _ := io.ReadAll(response.Body)
	_ = response.Body.Close()
	arrived := origin.Requests()
	if e.Mint || e.None && asksForTokens(s, e) {
		if response.StatusCode != http.StatusForbidden || len(arrived) != 0 {
			t.Errorf("%s: status %d and %d arrived, want it denied", e.Title, response.StatusCode, len(arrived))
		}
		return
	}
	if len(arrived) != 1 {
		t.Errorf("%s: %d requests arrived, want 1: %d %s", e.Title, len(arrived), response.StatusCode, body)
		return
	}
	q := arrived[0]
	for _, want := range e.Want {
		if got := q.Header.Values(want.Name); len(got) != 1 || got[0] != want.Value {
			t.Errorf("%s (h2 %v): %s arrived as %q, want %q", e.Title, h2, want.Name, got, want.Value)
		}
	}
	query, err := url.ParseQuery(q.Query)
	if err != nil {
		t.Errorf("%s: query %q: %v", e.Title, q.Query, err)
	}
	for _, want := range e.WantQuery {
		if got := query[want.Name]; len(got) != 1 || got[0] != want.Value {
			t.Errorf("%s: parameter %s arrived as %q, want %q", e.Title, want.Name, got, want.Value)
		}
	}
	cookies := (&http.Request{Header: q.Header}).Cookies()
	for _, want := range e.WantCookie {
		i := slices.IndexFunc(cookies, func(c *http.Cookie) bool { return c.Name == want.Name })
		if i < 0 || cookies[i].Value != want.Value {
			t.Errorf("%s: cookie %s did not arrive", e.Title, want.Name)
		}
	}
	for _, name := range e.Absent {
		if got := q.Header.Values(name); len(got) != 0 {
			t.Errorf("%s: %s arrived as %q, want none", e.Title, name, got)
		}
	}
	for _, name := range e.AbsentArgs {
		if query.Has(name) {
			t.Errorf("%s: parameter %s arrived", e.Title, name)
		}
	}
	if e.None {
		for name, values := range q.Header {
			for _, value := range values {
				for _, field := range e.Fields {
					if strings.Contains(value, field) {
						t.Errorf("%s: a credential arrived in %s", e.Title, name)
					}
				}
			}
		}
	}
}
