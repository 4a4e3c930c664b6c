package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kb/internal/testkit"
)

// labVerbs are the scripts that speak with an authorization server and an API.
var labVerbs = regexp.MustCompile(`^(login_.*|logout|refresh|status|approve|session)\.txtar$`)

func needsLab(path string) bool { return labVerbs.MatchString(filepath.Base(path)) }

// TestLabScripts runs the scripts of logins that expire, each with an
// authorization server and an API of its own:
//
//	$AUTH, $API     their addresses
//	lab.toml        a definition: provider "lab" of several methods
//	lab …           steers the server (see labCommand)
func TestLabScripts(t *testing.T) {
	if testkit.RaceEnabled {
		t.Skip("skipped: scripts start kb a hundred times; the terminals below run with the detector")
	}
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var mine []string
	for _, path := range files {
		if needsLab(path) {
			mine = append(mine, path)
		}
	}
	world := testkit.Namespace(t)
	testscript.Run(t, testscript.Params{
		Files: mine,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"lab": labCommand, "exits": exits, "adddevice": addDevice, "waits": waits, "runs": runs},
		Setup: func(env *testscript.Env) error {
			if err := setUpHome(env); err != nil {
				return err
			}
			l := newLab(world, strconv.Itoa(labs.next()))
			env.Values["lab"] = l
			env.Setenv("AUTH", l.auth.Issuer)
			env.Setenv("API", "https://"+l.api)
			env.Setenv("BROWSER", "browse")
			return os.WriteFile(filepath.Join(env.WorkDir, "lab.toml"), []byte(l.definition()), 0o600)
		},
	})
}

// labs numbers the labs of a world, whose names must differ.
var labs counter

type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) next() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return c.n
}

// lab is an authorization server, and an API that takes its tokens and says
// whose they are.
type lab struct {
	auth *testkit.AuthServer
	api  string

	mu      sync.Mutex
	account string
	user    string // code of the last device request
	down    bool
	revoked int
}

func newLab(w *testkit.World, number string) *lab {
	l := &lab{auth: testkit.NewAuthServer("https://auth" + number + ".lab.example"), api: "api" + number + ".lab.example", account: "me-at-acme"}
	l.auth.AddClient("kb-own", "kbCanarySecret")
	l.auth.AddClient("kb-public", "")
	w.Serve(strings.TrimPrefix(l.auth.Issuer, "https://"), testkit.OriginConfig{Handler: http.HandlerFunc(l.serveAuth)})
	w.Serve(l.api, testkit.OriginConfig{Handler: http.HandlerFunc(l.serveAPI)})
	return l
}

// serveAuth is the authorization server, whose device clients may ask each
// second, so that no test waits for long.
func (l *lab) serveAuth(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	down := l.down
	if r.URL.Path == "/revoke" {
		l.revoked++
	}
	l.mu.Unlock()
	if down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path != "/device" {
		l.auth.ServeHTTP(w, r)
		return
	}
	recorder := httptest.NewRecorder()
	l.auth.ServeHTTP(recorder, r)
	var answer map[string]any
	if json.Unmarshal(recorder.Body.Bytes(), &answer) == nil && answer["interval"] != nil {
		answer["interval"] = 1
		l.mu.Lock()
		l.user, _ = answer["user_code"].(string)
		l.mu.Unlock()
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(recorder.Code)
	_ = json.NewEncoder(w).Encode(answer)
}

func (l *lab) serveAPI(w http.ResponseWriter, r *http.Request) {
	// A server that answers before it has read what is posted resets the stream, as
	// HTTP/2 lets it (RFC 9113, 8.1), and curl 7.88 takes that for an error.
	_, _ = io.Copy(io.Discard, r.Body)
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.Header().Set("Content-Type", "application/json")
	if !l.auth.Valid(token) {
		if strings.HasPrefix(r.URL.Path, "/mcp") {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://`+l.api+`/.well-known/oauth-protected-resource/mcp"`)
		}
		if strings.HasPrefix(r.URL.Path, "/.well-known/oauth-protected-resource") {
			_ = json.NewEncoder(w).Encode(map[string]any{"resource": "https://" + l.api + "/mcp", "authorization_servers": []string{l.auth.Issuer}})
			return
		}
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]string{"login": l.account})
}

func (l *lab) definition() string {
	servers := func(more string) string {
		return fmt.Sprintf("[login.server]\ntoken = %q\nrevocation = %q\nsource = \"https://docs.lab.example/oauth\"\n%s\n",
			l.auth.Endpoint("token"), l.auth.Endpoint("revoke"), more)
	}
	authorization := fmt.Sprintf("authorization = %q\nissuer = %q\niss = true", l.auth.Endpoint("authorize"), l.auth.Issuer)
	device := fmt.Sprintf("device = %q", l.auth.Endpoint("device"))
	return fmt.Sprintf(`name = "lab"
title = "Acme Lab"
docs = "https://docs.lab.example/auth"
sources = ["https://docs.lab.example/auth"]
hosts = [%[1]q]
env = { LAB_TOKEN = "lab_{random36}" }

[identity]
url = "https://%[1]s/me"
name = "login"
source = "https://docs.lab.example/me"

[[inject]]
hosts = [%[1]q]
header = { Authorization = "Bearer {token}" }
source = "https://docs.lab.example/auth"

[[login]]
method = "oauth"
title = "OAuth app"
flow = "oauth"
client = "own"
page = "https://lab.example/apps"
scopes = ["read", "write"]
refresh = "rotate"
%[2]s
[[login]]
method = "public"
flow = "oauth"
client = "own"
page = "https://lab.example/apps"
scopes = ["read"]
refresh = "keep"
%[3]s
[[login]]
method = "dynamic"
flow = "oauth"
client = "dynamic"
scopes = ["read"]
refresh = "rotate"
%[4]s
[[login]]
method = "whole"
title = "revocation ends the grant"
flow = "oauth"
client = "dynamic"
scopes = ["read"]
refresh = "rotate"
%[6]s
[[login]]
method = "app"
flow = "client-credentials"
scopes = ["read"]
%[5]s
[[login.field]]
name = "client_id"
label = "Client ID"
[[login.field]]
name = "client_secret"
label = "Client secret"
secret = true

[[login]]
method = "token"
[[login.field]]
name = "token"
label = "Access token"
secret = true
`, l.api, servers(authorization+"\n"+device),
		servers(authorization+"\n"+device+"\nclient_auth = \"none\""), servers(authorization+"\n"+fmt.Sprintf("registration = %q\nclient_auth = \"none\"", l.auth.Endpoint("register"))), servers(""),
		servers(authorization+"\n"+fmt.Sprintf("registration = %q\nclient_auth = \"none\"\nrevoke_what = \"grant\"", l.auth.Endpoint("register"))))
}

// labCommand is the script command "lab VERB", which steers the server:
//
//	account NAME       whom the API names
//	approve, deny      decide about the code that was asked for last
//	disagree           the person says no in the browser
//	life DURATION      of access tokens from now on
//	kill               every refresh token is refused from now on
//	down, up           the authorization server answers 503
//	keep               refresh tokens stay as they are
//	count GRANT N      the token endpoint got N requests of that kind
//	revoked N          and the revocation endpoint N
//	browse FILE        opens the one authorization address in FILE, and writes where the browser ended to stdout
func labCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: lab VERB …")
	}
	l := ts.Value("lab").(*lab)
	args = append(args, "", "")
	l.mu.Lock()
	defer l.mu.Unlock()
	switch args[0] {
	case "account":
		l.account = args[1]
	case "approve":
		l.auth.Device(l.user, "approved")
	case "deny":
		l.auth.Device(l.user, "denied")
	case "disagree":
		l.auth.SetApprove(false)
	case "life":
		life, err := time.ParseDuration(args[1])
		ts.Check(err)
		l.auth.SetLife(life)
	case "kill":
		l.auth.Kill()
	case "down", "up":
		l.down = args[0] == "down"
	case "keep":
		l.auth.SetRotate(false)
	case "count":
		if n := l.auth.Count(args[1]); strconv.Itoa(n) != args[2] {
			ts.Fatalf("the token endpoint got %d requests of %s, want %s", n, args[1], args[2])
		}
	case "revoked":
		if strconv.Itoa(l.revoked) != args[1] {
			ts.Fatalf("%d revocations, want %s", l.revoked, args[1])
		}
	default:
		ts.Fatalf("lab has no verb %q", args[0])
	}
}

// exits is the script command "exits CODE COMMAND…": the command ends with that
// code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND …")
	}
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if code != args[0] {
		ts.Fatalf("%q ended with %s, want %s", args[1:], code, args[0])
	}
}

// browse is a browser: it opens an address, goes where it is sent, and says
// nothing. It stands for a person who agrees.
func browse() {
	code, where := visit(os.Args[len(os.Args)-1])
	fmt.Println(code, where)
	if code != http.StatusOK {
		os.Exit(1)
	}
}

// visit opens an address, goes where it is sent, and returns how it ended and
// where.
func visit(address string) (status int, where string) {
	response, err := open(address, nil)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, response.Request.URL.String()
}

// sentTo is where an address sends a browser, which does not get there.
func sentTo(address string) string {
	response, err := open(address, func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse })
	if err != nil {
		return err.Error()
	}
	return response.Header.Get("Location")
}

func open(address string, redirect func(*http.Request, []*http.Request) error) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: redirect}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response, response.Body.Close()
}
