package oauth_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/testkit"
)

// TestBrokenServers: what is no answer is an error that names the endpoint and
// the host, says whether to ask again, and holds nothing of what was sent.
func TestBrokenServers(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault testkit.AuthFault
		says  string
		after time.Duration
	}{
		{name: "500", fault: testkit.AuthFault{Status: 500}, says: "status 500"},
		{name: "429", fault: testkit.AuthFault{Status: 429, RetryAfter: "17"}, says: "status 429", after: 17 * time.Second},
		{name: "503 with a date", fault: testkit.AuthFault{Status: 503, RetryAfter: "Sun, 01 Nov 2026 12:00:30 GMT"}, says: "status 503", after: 30 * time.Second},
		{name: "503 with a date gone by", fault: testkit.AuthFault{Status: 503, RetryAfter: "Sun, 01 Nov 2020 12:00:30 GMT"}, says: "status 503"},
		{name: "503 for ever", fault: testkit.AuthFault{Status: 503, RetryAfter: "4000000000"}, says: "status 503", after: 24 * time.Hour},
		{name: "503 with junk", fault: testkit.AuthFault{Status: 503, RetryAfter: "-5"}, says: "status 503"},
		{name: "500 with Retry-After", fault: testkit.AuthFault{Status: 500, RetryAfter: "17"}, says: "status 500"},
		{name: "a page", fault: testkit.AuthFault{Body: "<html><b>Maintenance</b></html>"}, says: "not a JSON object"},
		{name: "a page that says it is JSON", fault: testkit.AuthFault{Body: "<html>", Type: "application/json"}, says: "not a JSON object"},
		{name: "a list", fault: testkit.AuthFault{Body: `[]`, Type: "application/json"}, says: "not a JSON object"},
		{name: "null", fault: testkit.AuthFault{Body: `null`, Type: "application/json"}, says: "not a JSON object"},
		{name: "nothing", fault: testkit.AuthFault{Body: ` `, Type: "application/json"}, says: "not a JSON object"},
		{name: "a form", fault: testkit.AuthFault{Body: `access_token=x`, Type: "application/x-www-form-urlencoded"}, says: "not a JSON object"},
		{name: "half an answer", fault: testkit.AuthFault{Body: `{"access_token":"x"`, Type: "application/json"}, says: "not a JSON object"},
		{name: "no token", fault: testkit.AuthFault{Body: `{"token_type":"Bearer"}`, Type: "application/json"}, says: "no access token"},
		{name: "a number for a token", fault: testkit.AuthFault{Body: `{"access_token":1}`, Type: "application/json"}, says: "no access token"},
		{name: "a line break in a token", fault: testkit.AuthFault{Body: `{"access_token":"a\r\nX: y"}`, Type: "application/json"}, says: "line break"},
		{name: "huge", fault: testkit.AuthFault{Huge: true}, says: "more than 1024 KiB"},
		{name: "a redirect", fault: testkit.AuthFault{Redirect: "https://evil.example/token?stolen"}, says: "answered with a redirect (status 307), which is not followed"},
		{name: "lost", fault: testkit.AuthFault{Lose: true}, says: "EOF"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.AddClient("conf", "the-client-secret")
			_, refresh := w.Grant("conf", "read")
			w.AuthServer.Fault(c.fault)
			s := w.server()
			s.ClientAuth = oauth.AuthBasic
			_, err := w.flows.Refresh(w.ctx(), s, oauth.Client{ID: "conf", Secret: secret.New("the-client-secret")}, secret.New(refresh), nil)
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if !e.Temporary() || e.Endpoint != "token" || "https://"+e.Host != w.Issuer || e.RetryAfter != c.after || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v (temporary %v, Retry-After %v)", err, e.Temporary(), e.RetryAfter)
			}
			for _, secret := range []string{refresh, "the-client-secret", "?", "evil", "Maintenance", "/token"} {
				if strings.Contains(fmt.Sprintf("%v %+v", err, *e), secret) {
					t.Errorf("the error holds %q: %+v", secret, *e)
				}
			}
			if want := map[bool]int{true: 1, false: 1}[c.fault.Lose]; w.Count("") != want {
				t.Errorf("%d requests were made", w.Count(""))
			}
		})
	}
}

// TestSlowServer: a request ends after its limit, and with its caller.
func TestSlowServer(t *testing.T) {
	w := newWorld(t)
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	_, refresh := w.Grant("cli", "read")
	w.flows.SetLimit(50 * time.Millisecond)
	w.AuthServer.Fault(testkit.AuthFault{Hold: hold}, testkit.AuthFault{Hold: hold})
	patient := w.ctx()
	_, err := w.flows.Refresh(patient, w.server(), w.client, secret.New(refresh), nil)
	if e, ok := errors.AsType[*oauth.Error](err); !ok || !e.Temporary() || !strings.Contains(err.Error(), "no answer in time") || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a slow server: %v", err)
	}
	if patient.Err() != nil {
		t.Error("the request lasted as long as its caller had time")
	}
	w.flows.SetLimit(time.Minute)
	ctx, cancel := context.WithTimeout(w.ctx(), 50*time.Millisecond)
	defer cancel()
	if _, err = w.flows.Refresh(ctx, w.server(), w.client, secret.New(refresh), nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's deadline: %v", err)
	}
}

// flood is a body without end; it notes how much of it was taken.
type flood struct{ taken int }

func (f *flood) Read(p []byte) (int, error) {
	if f.taken > 16<<20 {
		return 0, io.EOF
	}
	f.taken += len(p)
	return len(p), nil
}

func (*flood) Close() error { return nil }

// TestFlood: no more of an answer is read than the bound.
func TestFlood(t *testing.T) {
	f := &flood{}
	flows := oauth.New(oauth.Options{Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		res := response(r, 200, "application/json", "")
		res.Body = f
		return res, nil
	})}})
	if _, err := flows.Refresh(t.Context(), exampleServer(), oauth.Client{ID: "c"}, secret.New("r"), nil); err == nil {
		t.Error("a flood was taken for an answer")
	}
	if f.taken > 2<<20 {
		t.Errorf("%d bytes were read", f.taken)
	}
}

// TestNobodyThere: the error of a dial has no URL in it.
func TestNobodyThere(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	s.Token = "https://127.0.0.1:1/token?key=in-a-query"
	_, err := w.flows.Refresh(w.ctx(), s, w.client, secret.New("a-refresh-token"), nil)
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Status != 0 || !e.Temporary() || strings.Contains(err.Error(), "query") {
		t.Errorf("got %v", err)
	}
}

// TestCodesAreVerdicts: an error code is the server's word on what was sent,
// whatever the status; 5xx and "try later" codes are not.
func TestCodesAreVerdicts(t *testing.T) {
	for _, c := range []struct {
		status    int
		body      string
		code      string
		temporary bool
	}{
		{400, `{"error":"invalid_grant"}`, "invalid_grant", false},
		{401, `{"error":"invalid_client"}`, "invalid_client", false},
		{200, `{"error":"incorrect_device_code","error_description":"x"}`, "incorrect_device_code", false}, // as GitHub does
		{200, `{"ok":false,"error":"bad_refresh_token"}`, "invalid_grant", false},                          // what the server's InvalidGrant is for
		{500, `{"error":"invalid_grant"}`, "invalid_grant", true},
		{429, `{"error":"slow_down"}`, "slow_down", true},
		{400, `{"error":"temporarily_unavailable"}`, "temporarily_unavailable", true},
		{400, `{"error":{"code":"invalid_grant"}}`, "", true},
		{403, `Forbidden`, "", true},
	} {
		s := exampleServer()
		s.InvalidGrant = []string{"bad_refresh_token"}
		f := oauth.New(oauth.Options{Client: answering(c.status, "application/json", c.body)})
		_, err := f.Refresh(t.Context(), s, oauth.Client{ID: "c"}, secret.New("r"), nil)
		if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != c.code || e.Temporary() != c.temporary || e.Status != c.status {
			t.Errorf("%d %s: %v", c.status, c.body, err)
		}
	}
}

// TestErrorsQuoteNoSecrets: some servers repeat in a description what they got.
// A description is also cut, and clean.
func TestErrorsQuoteNoSecrets(t *testing.T) {
	const refresh, key = "rt-kb-canary-2f9c", "cs-kb-canary-77aa"
	basic := base64.StdEncoding.EncodeToString([]byte("c:" + key))
	for _, how := range []oauth.ClientAuth{oauth.AuthPost, oauth.AuthBasic} {
		for _, asJSON := range []bool{false, true} {
			s := exampleServer()
			s.ClientAuth, s.JSON = how, asJSON
			body := `{"error":"invalid_grant` + "\x7f" + `é","error_description":"token ` + refresh + " of " + key + " " + basic +
				` \u001b[2J\u202e is bad. ` + strings.Repeat("läng ", 100) + `"}`
			f := oauth.New(oauth.Options{Client: answering(400, "application/json", body)})
			_, err := f.Refresh(t.Context(), s, oauth.Client{ID: "c", Secret: secret.New(key)}, secret.New(refresh), nil)
			e, ok := errors.AsType[*oauth.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			for _, v := range []string{refresh, key, "\x1b", "\u202e", "\x7f"} {
				if strings.Contains(err.Error(), v) {
					t.Errorf("%s, JSON %v: the error holds %q: %v", how, asJSON, v, err)
				}
			}
			if how == oauth.AuthBasic && strings.Contains(err.Error(), basic) {
				t.Errorf("the error holds the encoded secret: %v", err)
			}
			if len(e.Description) > 200 || !utf8.ValidString(e.Description) || e.Code != "invalid_grant__" {
				t.Errorf("code %q, description of %d bytes %q", e.Code, len(e.Description), e.Description)
			}
			if !strings.Contains(e.Description, secret.Redacted) {
				t.Errorf("control: nothing was taken out of %q", e.Description)
			}
		}
	}
}

// TestAttackServerQuotesSecretsOtherwise: a server repeats what it got in part,
// or in another form. Its words are told to agents.
func TestAttackServerQuotesSecretsOtherwise(t *testing.T) {
	const refresh, key = "1//0kb-canary/2f9c+8ab1", "cs-kb-canary-77aa"
	basic := base64.StdEncoding.EncodeToString([]byte("c:" + key))
	for name, c := range map[string]struct{ said, leak string }{
		"percent":            {"token=" + url.QueryEscape(refresh), "canary%2F2f9c"},
		"hex":                {hex.EncodeToString([]byte(refresh)), hex.EncodeToString([]byte("canary/2f9c"))},
		"HEX":                {strings.ToUpper(hex.EncodeToString([]byte(refresh))), strings.ToUpper(hex.EncodeToString([]byte("canary")))},
		"base64":             {base64.StdEncoding.EncodeToString([]byte(refresh)), base64.RawStdEncoding.EncodeToString([]byte(refresh))[4:24]},
		"base64, shifted":    {base64.StdEncoding.EncodeToString([]byte("t:" + refresh)), base64.StdEncoding.EncodeToString([]byte("t:" + refresh))[8:24]},
		"base64url, shifted": {base64.URLEncoding.EncodeToString([]byte("t" + refresh)), base64.URLEncoding.EncodeToString([]byte("t" + refresh))[8:24]},
		"its beginning":      {"token " + refresh[:12] + "... is bad", refresh[:12]},
		"its end":            {"token *****" + refresh[10:], refresh[10:]},
		"Basic":              {"bad credentials " + basic[2:], basic[4:20]},
	} {
		s := exampleServer()
		s.ClientAuth = oauth.AuthBasic
		body, err := json.Marshal(map[string]string{"error": "invalid_grant", "error_description": "no: " + c.said})
		if err != nil {
			t.Fatal(err)
		}
		f := oauth.New(oauth.Options{Client: answering(400, "application/json", string(body))})
		_, err = f.Refresh(t.Context(), s, oauth.Client{ID: "c", Secret: secret.New(key)}, secret.New(refresh), nil)
		if err == nil || strings.Contains(err.Error(), c.leak) || !strings.Contains(err.Error(), secret.Redacted) {
			t.Errorf("%s: the error is %v", name, err)
		}
		if !strings.Contains(c.said, c.leak) { // positive control
			t.Errorf("control: %s: the server said nothing of %q", name, c.leak)
		}
	}
}

// TestEndpointsAreHTTPS: no request is made to anything else.
func TestEndpointsAreHTTPS(t *testing.T) {
	f := oauth.New(oauth.Options{Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		t.Errorf("a request to %s", r.URL)
		return nil, errors.New("no")
	})}})
	for _, bad := range []string{"", "http://a.example/token", "https://user:pw@a.example/token", "https://a.example/t#x", "//a.example/t", "https:///t", "https:a.example", "ftp://a.example/", "https://:443/x", "%"} {
		s := oauth.Server{Authorization: bad, Token: bad, Device: bad, Revocation: bad, Registration: bad, ClientAuth: oauth.AuthNone}
		c := oauth.Client{ID: "c"}
		r := secret.New("refresh-canary")
		errs := map[string]error{}
		_, errs["refresh"] = f.Refresh(t.Context(), s, c, r, nil)
		_, errs["client credentials"] = f.ClientCredentials(t.Context(), s, c, nil)
		_, errs["code"] = f.Loopback(t.Context(), s, c, nil)
		_, errs["device"] = f.Device(t.Context(), s, c, nil)
		errs["revoke"] = f.Revoke(t.Context(), s, c, oauth.Tokens{Refresh: r})
		_, errs["register"] = f.Register(t.Context(), s, oauth.Registration{})
		_, errs["metadata"] = f.Metadata(t.Context(), bad)
		_, _, errs["discover"] = f.Discover(t.Context(), bad)
		for name, err := range errs {
			if err == nil || strings.Contains(err.Error(), "pw") {
				t.Errorf("%s at %q: %v", name, bad, err)
			}
		}
	}
}

// TestServerHabits: what is data in a definition arrives in the request, and
// what the answer's peculiarities mean.
func TestServerHabits(t *testing.T) {
	s := exampleServer()
	s.ClientAuth, s.JSON, s.Separator, s.Resource = oauth.AuthPost, true, ",", "https://api.example.com/"
	s.TokenParams = map[string]string{"audience": "api"}
	s.Header = map[string]string{"Notion-Version": "2026-03-11", "User-Agent": "kb by example"}
	s.At = "authed_user"
	s.RefreshToken = "https://server.example.com/refresh"
	s.AccessLifetime = 2 * time.Hour
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var sent *http.Request
	var body string
	answer := `{"ok":true,"access_token":"bot","authed_user":{"access_token":"user","scope":"a,b","refresh_token":"r2"}}`
	f := oauth.New(oauth.Options{Now: func() time.Time { return now }, Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		sent = r
		b := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(b)
		body = string(b)
		return response(r, 200, "text/plain", answer), nil
	})}})
	got, err := f.Refresh(t.Context(), s, oauth.Client{ID: "c", Secret: secret.New("s")}, secret.New("r1"), []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"audience":"api","client_id":"c","client_secret":"s","grant_type":"refresh_token","refresh_token":"r1","resource":"https://api.example.com/","scope":"a,b"}`
	if body != want || sent.URL.String() != s.RefreshToken || sent.Header.Get("Notion-Version") != "2026-03-11" ||
		sent.Header.Get("User-Agent") != "kb by example" || sent.Header.Get("Accept") != "application/json" || sent.Header.Get("Content-Type") != "application/json" {
		t.Errorf("sent %s %v\n%s", sent.URL, sent.Header, body)
	}
	if got.Access.Reveal() != "user" || got.Refresh.Reveal() != "r2" || len(got.Scopes) != 2 || !got.Expires.Equal(now.Add(2*time.Hour)) {
		t.Errorf("got scopes %q, expires %v", got.Scopes, got.Expires)
	}
	// When it refreshes, such a server may answer without the nesting; when it
	// grants, the top is another identity's.
	answer = `{"ok":true,"access_token":"user2","expires_in":"3600.5","refresh_token":null}`
	if got, err = f.Refresh(t.Context(), s, oauth.Client{ID: "c"}, secret.New("r1"), nil); err != nil {
		t.Fatal(err)
	}
	if got.Access.Reveal() != "user2" || got.Refresh.Reveal() != "r1" || !got.Expires.Equal(now.Add(time.Hour)) {
		t.Errorf("got expires %v", got.Expires)
	}
	if _, err = f.ClientCredentials(t.Context(), s, oauth.Client{ID: "c"}, nil); err == nil {
		t.Error("the token at the top was taken for the one at authed_user")
	}
	// RFC 6749 section 2.3.1: both parts are encoded as in a form, and then as
	// Basic has it.
	s.ClientAuth, s.JSON, s.At = oauth.AuthBasic, false, ""
	if _, err = f.Refresh(t.Context(), s, oauth.Client{ID: "installed:app", Secret: secret.New("a+b c")}, secret.New("r1"), nil); err != nil {
		t.Fatal(err)
	}
	if id, pw, ok := sent.BasicAuth(); !ok || id != "installed%3Aapp" || pw != "a%2Bb+c" {
		t.Errorf("sent Basic %q %q", id, pw)
	}
}

// TestAuthorizeParameters: what a definition adds to the authorization request.
func TestAuthorizeParameters(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	s.Authorization += "?tenant=x"
	s.Authorize = map[string]string{"access_type": "offline", "prompt": "consent"}
	s.Separator, s.Resource, s.PKCE = ",", "https://api.example.com/mcp", "none"
	l, err := w.flows.Loopback(w.ctx(), s, oauth.Client{ID: "cli"}, []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	u, err := url.Parse(l.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for k, want := range map[string]string{
		"tenant": "x", "access_type": "offline", "prompt": "consent", "scope": "a,b", "resource": "https://api.example.com/mcp",
		"response_type": "code", "client_id": "cli", "redirect_uri": l.Redirect(), "code_challenge": "",
	} {
		if q.Get(k) != want {
			t.Errorf("%s is %q, want %q", k, q.Get(k), want)
		}
	}
	if len(q.Get("state")) != 43 {
		t.Errorf("the state has %d characters", len(q.Get("state")))
	}
}
