package testkit

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// AuthServer is an authorization server that does what it is told, wrongly
// too: authorization code with PKCE, device code, client credentials, JWT
// bearer, refresh with rotation, revocation, registration, metadata. It is an
// http.Handler, for [World.Serve] or [StartAuthServer].
//
// Rotation is as RFC 9700 section 4.14.2 has it: a refresh token is good once,
// and one that is used again ends its whole family.
type AuthServer struct {
	Issuer string // without a slash at the end

	mu       sync.Mutex
	now      func() time.Time
	life     time.Duration
	rotate   bool
	iss      bool
	clients  map[string]*authClient
	codes    map[string]*authCode
	devices  map[string]*authDevice
	refresh  map[string]*authRefresh
	access   map[string]*authAccess
	metadata map[string]any // over the usual
	faults   []AuthFault
	requests []TokenRequest
	next     int
	approve  bool // the authorization endpoint says yes
}

type authClient struct {
	id, secret string
	redirects  []string // none: any
}

type authCode struct {
	client, redirect, challenge, scope string
	family                             *authFamily
	used                               bool
}

type authFamily struct{ dead bool }

type authRefresh struct {
	client, scope string
	family        *authFamily
	used          bool
}

type authAccess struct {
	family  *authFamily
	expires time.Time
	dead    bool
}

type authDevice struct {
	client, user, scope, state string // state: "", "approved", "denied", "used"
	expires                    time.Time
	answers                    []string // error codes to say before anything else
}

// TokenRequest is one request that the token endpoint got.
type TokenRequest struct {
	Grant  string // "refresh_token"
	Client string
	Form   url.Values
	Header http.Header
	Said   string // "ok", an error code, or "fault"
	Time   time.Time
}

// AuthFault is what goes wrong with one request. Exactly one field of Status,
// Body, Huge, Redirect and Lose is set, or none for delay alone.
type AuthFault struct {
	Endpoint   string        // "" is "token"; or "device", "authorize", "revoke", "register", "metadata"
	Delay      time.Duration // before anything is done; ends early when the client goes
	Hold       chan struct{} // as Delay, until it is closed
	Status     int           // answered with, and an empty body
	RetryAfter string        // field of that name, with Status
	Body       string        // answered with status 200 in place of the answer, as Type
	Type       string        // "" is text/html
	Huge       bool          // 200 and a JSON string without end (8 MiB)
	Redirect   string        // 307 to there
	Lose       bool          // everything is done and then the connection is cut: the answer is lost
}

// NewAuthServer returns a server that says to be issuer, rotates, lets access
// tokens live for an hour, and has no client.
func NewAuthServer(issuer string) *AuthServer {
	return &AuthServer{
		Issuer: issuer, now: time.Now, life: time.Hour, rotate: true, iss: true, approve: true,
		clients: map[string]*authClient{}, codes: map[string]*authCode{}, devices: map[string]*authDevice{},
		refresh: map[string]*authRefresh{}, access: map[string]*authAccess{}, metadata: map[string]any{},
	}
}

// StartAuthServer starts a server on a loopback port, over TLS with a
// certificate of ca; it stops with the test. Its Issuer is its address.
func StartAuthServer(t testing.TB, ca *CA) *AuthServer {
	t.Helper()
	s := NewAuthServer("")
	s.Issuer = ServeTLS(t, ca, s)
	return s
}

// ServeTLS serves h on a loopback port with a certificate of ca for 127.0.0.1,
// until the test ends, and returns its origin: "https://127.0.0.1:40000".
func ServeTLS(t testing.TB, ca *CA, h http.Handler) string {
	t.Helper()
	cert, err := ca.leaf("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 30 * time.Second,
		TLSConfig:         &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12},
		ErrorLog:          log.New(discard{}, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ServeTLS(l, "", "")
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return "https://" + l.Addr().String()
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// Client is an HTTP client that trusts ca, dials as the machine does and
// follows no redirect.
func (c *CA) Client(t testing.TB) *http.Client {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.Pool(), MinVersion: tls.VersionTLS12}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Endpoint is the URL of "token", "authorize", "device", "revoke", "register".
func (s *AuthServer) Endpoint(name string) string { return s.Issuer + "/" + name }

// AddClient registers a client; without a secret it is public, without
// redirects it may use any.
func (s *AuthServer) AddClient(id, secret string, redirects ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id] = &authClient{id: id, secret: secret, redirects: redirects}
}

// SetLife says how long access tokens live from now on; 0: the answer does not say.
func (s *AuthServer) SetLife(d time.Duration) { s.locked(func() { s.life = d }) }

// SetNow makes the server go by another clock.
func (s *AuthServer) SetNow(now func() time.Time) { s.locked(func() { s.now = now }) }

// SetRotate says whether refreshing returns another refresh token.
func (s *AuthServer) SetRotate(on bool) { s.locked(func() { s.rotate = on }) }

// SetISS says whether authorization responses name the issuer (RFC 9207).
func (s *AuthServer) SetISS(on bool) { s.locked(func() { s.iss = on }) }

// SetApprove says whether the authorization endpoint says yes.
func (s *AuthServer) SetApprove(on bool) { s.locked(func() { s.approve = on }) }

// SetMetadata overrides a member of the metadata; nil removes it.
func (s *AuthServer) SetMetadata(name string, v any) { s.locked(func() { s.metadata[name] = v }) }

// Fault queues what goes wrong with the next requests, one fault a request of
// its endpoint.
func (s *AuthServer) Fault(f ...AuthFault) { s.locked(func() { s.faults = append(s.faults, f...) }) }

func (s *AuthServer) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// Grant makes tokens as if a login had happened, and a family for them.
func (s *AuthServer) Grant(client, scope string) (access, refresh string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fam := &authFamily{}
	return s.mintAccess(fam), s.mintRefresh(client, scope, fam)
}

// Valid reports whether an API would take the access token.
func (s *AuthServer) Valid(access string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.access[access]
	return a != nil && !a.dead && (a.family == nil || !a.family.dead) && (a.expires.IsZero() || s.now().Before(a.expires))
}

// Good reports whether the refresh token would be taken.
func (s *AuthServer) Good(refresh string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.refresh[refresh]
	return r != nil && !r.used && !r.family.dead
}

// Expire ends every access token there is; refresh tokens live on.
func (s *AuthServer) Expire() {
	s.locked(func() {
		for _, a := range s.access {
			a.dead = true
		}
	})
}

// Kill ends every family: each refresh token is refused with invalid_grant.
func (s *AuthServer) Kill() {
	s.locked(func() {
		for _, r := range s.refresh {
			r.family.dead = true
		}
	})
}

// Requests are the requests that the token endpoint got.
func (s *AuthServer) Requests() []TokenRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Count is how many token requests of a grant type came; "" counts all.
func (s *AuthServer) Count(grant string) int {
	n := 0
	for _, r := range s.Requests() {
		if grant == "" || r.Grant == grant {
			n++
		}
	}
	return n
}

// Device decides about a user code: "approved" or "denied". Before that the
// token endpoint says first, one at a time, each of the codes in say.
func (s *AuthServer) Device(user, decision string, say ...string) {
	s.locked(func() {
		for _, d := range s.devices {
			if d.user == user {
				d.state, d.answers = decision, say
			}
		}
	})
}

// random is a token that shows what it is: "at-3-…".
func (s *AuthServer) random(kind string) string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	s.next++
	return kind + "-" + hex.EncodeToString(b[:])
}

func (s *AuthServer) mintAccess(fam *authFamily) string {
	t := s.random("at")
	a := &authAccess{family: fam}
	if s.life > 0 {
		a.expires = s.now().Add(s.life)
	}
	s.access[t] = a
	return t
}

func (s *AuthServer) mintRefresh(client, scope string, fam *authFamily) string {
	t := s.random("rt")
	s.refresh[t] = &authRefresh{client: client, scope: scope, family: fam}
	return t
}

// s256 is the challenge of a verifier (RFC 7636 section 4.2).
func s256(verifier string) string {
	h := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(h[:])
}

// ServeHTTP implements http.Handler.
func (s *AuthServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/")
	if strings.HasPrefix(name, ".well-known/") {
		name = "metadata"
	}
	fault := s.takeFault(name)
	if s.broken(w, r, name, fault) {
		return
	}
	to := w
	if fault.Lose {
		to = &lostAnswer{header: http.Header{}}
	}
	switch name {
	case "authorize":
		s.authorize(to, r)
	case "token":
		s.token(to, r)
	case "device":
		s.device(to, r)
	case "revoke":
		s.revoke(to, r)
	case "register":
		s.register(to, r)
	case "metadata":
		s.serveMetadata(to)
	default:
		http.NotFound(to, r)
	}
	if fault.Lose {
		panic(http.ErrAbortHandler)
	}
}

// lostAnswer takes an answer that nobody gets.
type lostAnswer struct{ header http.Header }

func (l *lostAnswer) Header() http.Header         { return l.header }
func (l *lostAnswer) Write(p []byte) (int, error) { return len(p), nil }
func (l *lostAnswer) WriteHeader(int)             {}

func (s *AuthServer) takeFault(endpoint string) AuthFault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Endpoint == endpoint || f.Endpoint == "" && endpoint == "token" {
			s.faults = slices.Delete(slices.Clone(s.faults), i, i+1)
			return f
		}
	}
	return AuthFault{}
}

// broken answers with a fault, if it is one that answers.
func (s *AuthServer) broken(w http.ResponseWriter, r *http.Request, name string, f AuthFault) bool {
	if f.Delay > 0 || f.Hold != nil {
		var after <-chan time.Time
		if f.Delay > 0 {
			timer := time.NewTimer(f.Delay)
			defer timer.Stop()
			after = timer.C
		}
		_ = r.ParseForm() // the server sees a client go only when the body was read
		select {
		case <-after:
		case <-f.Hold:
		case <-r.Context().Done():
		}
	}
	if f.Status == 0 && f.Body == "" && !f.Huge && f.Redirect == "" {
		return false
	}
	if name == "token" {
		_ = r.ParseForm()
		s.note(r, "fault")
	}
	switch {
	case f.Redirect != "":
		http.Redirect(w, r, f.Redirect, http.StatusTemporaryRedirect)
	case f.Huge:
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"access_token":"`))
		for range 128 {
			if _, err := w.Write([]byte(strings.Repeat("a", 64<<10))); err != nil {
				return true
			}
		}
		_, _ = w.Write([]byte(`"}`))
	case f.Body != "":
		kind := f.Type
		if kind == "" {
			kind = "text/html"
		}
		w.Header().Set("Content-Type", kind)
		status := f.Status
		if status == 0 {
			status = http.StatusOK
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(f.Body))
	default:
		if f.RetryAfter != "" {
			w.Header().Set("Retry-After", f.RetryAfter)
		}
		w.WriteHeader(f.Status)
	}
	return true
}

// note logs a request of the token endpoint.
func (s *AuthServer) note(r *http.Request, said string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := r.PostForm.Get("client_id")
	if id, _, ok := r.BasicAuth(); ok {
		client, _ = url.QueryUnescape(id)
	}
	s.requests = append(s.requests, TokenRequest{
		Grant: r.PostForm.Get("grant_type"), Client: client, Form: r.PostForm, Header: r.Header.Clone(), Said: said, Time: s.now(),
	})
}
