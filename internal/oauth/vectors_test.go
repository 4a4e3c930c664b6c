package oauth_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
)

// roundTripper is a transport that is a function.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func response(req *http.Request, status int, kind, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// vector is one exchange as a standard prints it.
type vector struct {
	source  string
	request string // method, URL, header fields and body, as want has them
	status  int
	answer  string
}

// play answers with the vector's answer and compares the request with it:
// the method and address, then the named header fields, then the body with its
// parameters in the order of their names.
type play struct {
	t   *testing.T
	v   vector
	mu  sync.Mutex
	got []string
}

func (p *play) RoundTrip(req *http.Request) (*http.Response, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	body := ""
	if req.Body != nil {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		body = string(b)
	}
	got := req.Method + " " + req.URL.String() + "\n"
	for _, name := range []string{"Authorization", "Content-Type"} {
		if v := req.Header.Get(name); v != "" {
			got += name + ": " + v + "\n"
		}
	}
	p.got = append(p.got, got+"\n"+body)
	return response(req, p.v.status, "application/json", p.v.answer), nil
}

// check compares what was sent. Parameters are compared as a set: an order is
// nobody's business.
func (p *play) check() {
	p.t.Helper()
	if len(p.got) != 1 {
		p.t.Fatalf("%s: %d requests", p.v.source, len(p.got))
	}
	gotHead, gotBody, _ := strings.Cut(p.got[0], "\n\n")
	wantHead, wantBody, _ := strings.Cut(p.v.request, "\n\n")
	g, err := url.ParseQuery(gotBody)
	if err != nil {
		p.t.Fatal(err)
	}
	w, err := url.ParseQuery(wantBody)
	if err != nil {
		p.t.Fatal(err)
	}
	if gotHead != wantHead || g.Encode() != w.Encode() {
		p.t.Errorf("%s: sent\n%s\n\n%s\nwant\n%s", p.v.source, gotHead, gotBody, p.v.request)
	}
}

func playing(t *testing.T, v vector) (*oauth.Flows, *play) {
	p := &play{t: t, v: v}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return oauth.New(oauth.Options{Client: &http.Client{Transport: p}, Now: func() time.Time { return now }}), p
}

const (
	basicExample = "Authorization: Basic czZCaGRSa3F0MzpnWDFmQmF0M2JW\nContent-Type: application/x-www-form-urlencoded\n\n"
	tokenExample = `{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,` +
		`"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA","example_parameter":"example_value"}`
)

// rfcClient is the client of the examples of RFC 6749.
var rfcClient = oauth.Client{ID: "s6BhdRkqt3", Secret: secret.New("gX1fBat3bV")}

func TestVectorsRFC6749(t *testing.T) {
	s := exampleServer()
	s.ClientAuth = oauth.AuthBasic

	f, p := playing(t, vector{"section 6", "POST https://server.example.com/token\n" + basicExample + "grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA", 200, tokenExample})
	got, err := f.Refresh(t.Context(), s, rfcClient, secret.New("tGzv3JOkF0XG5Qx2TlKWIA"), nil)
	p.check()
	if err != nil {
		t.Fatal(err)
	}
	if got.Access.Reveal() != "2YotnFZFEjr1zCsicMWpAA" || got.Refresh.Reveal() != "tGzv3JOkF0XG5Qx2TlKWIA" || got.Type != "example" ||
		!got.Expires.Equal(time.Date(2026, 1, 1, 1, 0, 0, 0, time.UTC)) || got.Scopes != nil {
		t.Errorf("section 5.1 was read as type %q, expires %v, scopes %q", got.Type, got.Expires, got.Scopes)
	}

	f, p = playing(t, vector{
		"section 4.4.2", "POST https://server.example.com/token\n" + basicExample + "grant_type=client_credentials", 200,
		`{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"example","expires_in":3600,"example_parameter":"example_value"}`,
	})
	got, err = f.ClientCredentials(t.Context(), s, rfcClient, nil)
	p.check()
	if err != nil || !got.Refresh.IsZero() {
		t.Errorf("section 4.4.3: %v", err)
	}

	f, p = playing(t, vector{"section 2.3.1", "POST https://server.example.com/token\nContent-Type: application/x-www-form-urlencoded\n\n" +
		"grant_type=refresh_token&refresh_token=tGzv3JOkF0XG5Qx2TlKWIA&client_id=s6BhdRkqt3&client_secret=7Fjfp0ZBr1KtDRbnfVdmIw", 400, `{"error":"invalid_request"}`})
	s.ClientAuth = oauth.AuthPost
	_, err = f.Refresh(t.Context(), s, oauth.Client{ID: "s6BhdRkqt3", Secret: secret.New("7Fjfp0ZBr1KtDRbnfVdmIw")}, secret.New("tGzv3JOkF0XG5Qx2TlKWIA"), nil)
	p.check()
	if err == nil || err.Error() != `ask token endpoint of "server.example.com": invalid_request` {
		t.Errorf("section 5.2: %v", err)
	}
}

// TestVectorRFC7636: appendix B has the 32 octets, their verifier and its
// challenge.
func TestVectorRFC7636(t *testing.T) {
	octets := []byte{
		116, 24, 223, 180, 151, 153, 224, 37, 79, 250, 96, 125, 216, 173, 187, 186,
		22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88, 83, 132, 141, 121,
	}
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	p := &play{t: t, v: vector{status: 200, answer: tokenExample}}
	random := bytes.NewReader(append(make([]byte, 32), octets...)) // the state's first
	f := oauth.New(oauth.Options{Client: &http.Client{Transport: p}, Random: random})
	l, err := f.Loopback(t.Context(), exampleServer(), oauth.Client{ID: "s6BhdRkqt3", Redirect: "https://client.example.com/cb"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	state := strings.Repeat("A", 43)
	want := "https://server.example.com/authorize?client_id=s6BhdRkqt3&code_challenge=" + challenge + "&code_challenge_method=S256" +
		"&redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb&response_type=code&state=" + state
	if l.URL() != want {
		t.Errorf("the address is\n%s, want\n%s", l.URL(), want)
	}
	if err := l.Paste("https://client.example.com/cb?code=SplxlOBeZQQYbYS6WxSbIA&state=" + state); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.v.source = "RFC 6749 section 4.1.3 with RFC 7636 section 4.5"
	p.v.request = "POST https://server.example.com/token\nContent-Type: application/x-www-form-urlencoded\n\n" +
		"grant_type=authorization_code&code=SplxlOBeZQQYbYS6WxSbIA&redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb&client_id=s6BhdRkqt3&code_verifier=" + verifier
	p.check()
}

func TestVectorsRFC8628(t *testing.T) {
	s := exampleServer()
	s.Device, s.Token = "https://server.example.com/device_authorization", "https://server.example.com/token"
	c := oauth.Client{ID: "1406020730"}
	f, p := playing(t, vector{"sections 3.1 and 3.2", "POST https://server.example.com/device_authorization\nContent-Type: application/x-www-form-urlencoded\n\n" +
		"client_id=1406020730&scope=example_scope", 200, `{"device_code": "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS", "user_code": "WDJB-MJHT",
		"verification_uri": "https://example.com/device", "verification_uri_complete": "https://example.com/device?user_code=WDJB-MJHT", "expires_in": 1800, "interval": 5}`})
	d, err := f.Device(t.Context(), s, c, []string{"example_scope"})
	p.check()
	if err != nil {
		t.Fatal(err)
	}
	if d.UserCode != "WDJB-MJHT" || d.VerificationURI != "https://example.com/device" || d.VerificationURIComplete != "https://example.com/device?user_code=WDJB-MJHT" ||
		d.Interval != 5*time.Second || !d.Expires.Equal(time.Date(2026, 1, 1, 0, 30, 0, 0, time.UTC)) || d.Pending().Code.Reveal() != "GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS" {
		t.Errorf("section 3.2 was read as %+v", d)
	}
	f, p = playing(t, vector{
		"section 3.4", "POST https://server.example.com/token\nContent-Type: application/x-www-form-urlencoded\n\n" +
			"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=GmRhmhcxhwAzkoEqiMEg_DnyEysNkuNhszIySk9eS&client_id=1406020730", 400,
		`{"error":"authorization_pending"}`,
	})
	_, err = f.ResumeDevice(s, c, d.Pending()).Ask(t.Context())
	p.check()
	if err == nil {
		t.Error("section 3.5: no error")
	}
}

func TestVectorRFC7009(t *testing.T) {
	s := exampleServer()
	s.ClientAuth = oauth.AuthBasic
	f, p := playing(t, vector{"section 2.1", "POST https://server.example.com/revoke\n" + basicExample + "token=45ghiukldjahdnhzdauz&token_type_hint=refresh_token", 200, ""})
	if err := f.Revoke(t.Context(), s, rfcClient, oauth.Tokens{Access: secret.New("other"), Refresh: secret.New("45ghiukldjahdnhzdauz")}); err != nil {
		t.Error(err)
	}
	p.check()
	f, _ = playing(t, vector{"section 2.2.1", "", 400, `{"error":"unsupported_token_type"}`})
	if err := f.Revoke(t.Context(), s, rfcClient, oauth.Tokens{Refresh: secret.New("45ghiukldjahdnhzdauz")}); err == nil {
		t.Error("section 2.2.1: no error")
	}
}

func TestVectorRFC9126(t *testing.T) {
	s := exampleServer()
	s.PAR = "https://server.example.com/as/par"
	f, p := playing(t, vector{status: 201, answer: `{"request_uri":"urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c","expires_in":60}`})
	l, err := f.Loopback(t.Context(), s, oauth.Client{ID: "s6BhdRkqt3", Redirect: "https://client.example.org/cb"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const want = "https://server.example.com/authorize?client_id=s6BhdRkqt3&request_uri=urn%3Aietf%3Aparams%3Aoauth%3Arequest_uri%3A6esc_11ACC5bwc014ltc14eY22c"
	if l.URL() != want {
		t.Errorf("section 2.3: the address is %s", l.URL())
	}
	if len(p.got) != 1 || !strings.Contains(p.got[0], "code_challenge=") || !strings.Contains(p.got[0], "client_id=s6BhdRkqt3") {
		t.Errorf("section 2.1: pushed %q", p.got)
	}
}
