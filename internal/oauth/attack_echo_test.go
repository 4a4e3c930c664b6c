package oauth_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/testkit"
)

// raw answers with bytes of the test's own, in which {} stands for the request's
// body.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")
		_, _ = io.WriteString(conn, strings.NewReplacer("{}", string(body), "{key}", key).Replace(answer))
	}
}

const (
	echoedRefresh = "refresh-canary-5c1e77"
	echoedSecret  = "client-canary-90b4d2"
)

// TestAttackServerEchoesInBrokenHTTP: what answers at the token endpoint repeats
// what it was sent where HTTP has no place for it. The standard library's errors
// quote such lines.
func TestAttackServerEchoesInBrokenHTTP(t *testing.T) {
	for name, answer := range map[string]string{
		"as the first line":    "{}\r\n\r\n",
		"as the version":       "HTTP/{} 200 OK\r\n\r\n",
		"as the status":        "HTTP/1.1 {} OK\r\n\r\n",
		"as a line of a head":  "HTTP/1.1 200 OK\r\n{}\r\n\r\n",
		"as a length":          "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
		"as an encoding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: {}\r\n\r\n",
		"as a trailer":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}\r\n\r\n",
		"as a chunk's size":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n",
		"the client's, Basic":  "HTTP/1.1 200 OK\r\n{key}\r\n\r\n",
		"nothing and an end":   "",
		"half an answer's end": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := oauth.Server{Token: testkit.ServeTLS(t, w.ca, raw(answer)) + "/token", ClientAuth: oauth.AuthBasic}
			_, err := w.flows.Refresh(w.ctx(), s, oauth.Client{ID: "cli", Secret: secret.New(echoedSecret)}, secret.New(echoedRefresh), nil)
			if err == nil {
				t.Fatal("it was taken for an answer")
			}
			oracle := testkit.NewOracle(echoedRefresh, echoedSecret)
			oracle.Control(t, echoedRefresh, echoedSecret)
			for e := err; e != nil; e = unwrap(e) {
				oracle.Look("error", fmt.Appendf(nil, "%v %+v", e, e))
			}
			for _, finding := range oracle.Findings() {
				t.Errorf("canary: %s\n%v", finding, err)
			}
		})
	}
}

func unwrap(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return nil
}

// TestAttackServerEchoesInAnAnswer: a server answers with tokens, and repeats
// them, or what it was sent, in members that are shown to people.
func TestAttackServerEchoesInAnAnswer(t *testing.T) {
	const access, id = "access-canary-11d3f0", "id-canary-77aa02.claims.signature"
	w := newWorld(t)
	at := testkit.ServeTLS(t, w.ca, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"access_token":%q,"refresh_token":%q,"id_token":%q,"token_type":%q,"scope":%q}`,
			access, echoedRefresh, id, "Bearer "+access, strings.Join([]string{"read", access, "x-" + echoedRefresh, echoedSecret, id, "write"}, " "))
	}))
	s := oauth.Server{Token: at + "/token", ClientAuth: oauth.AuthPost}
	got, err := w.flows.Refresh(w.ctx(), s, oauth.Client{ID: "cli", Secret: secret.New(echoedSecret)}, secret.New(echoedRefresh), nil)
	if err != nil || got.Access.Reveal() != access {
		t.Fatal(err)
	}
	oracle := testkit.NewOracle(access, id, echoedRefresh, echoedSecret)
	oracle.Control(t, access, id, echoedRefresh, echoedSecret)
	oracle.Look("type", []byte(got.Type))
	oracle.Look("scopes", []byte(strings.Join(got.Scopes, " ")))
	for _, finding := range oracle.Findings() {
		t.Errorf("canary: %s", finding)
	}
	if strings.Join(got.Scopes, " ") != "read write" { // the control: the honest ones stay
		t.Errorf("scopes are %q", got.Scopes)
	}
}

// TestAttackServerEchoesItsOwnParameters: what a definition has kb send under a
// name of its own may be a secret as well.
func TestAttackServerEchoesItsOwnParameters(t *testing.T) {
	const password = "password-canary-0c9e35"
	w := newWorld(t)
	at := testkit.ServeTLS(t, w.ca, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(rw, `{"error":"invalid_request","error_description":%q}`, r.PostFormValue("pass_phrase")+" for "+r.PostFormValue("scope"))
	}))
	s := oauth.Server{Token: at + "/token", TokenParams: map[string]string{"pass_phrase": password}}
	_, err := w.flows.ClientCredentials(w.ctx(), s, oauth.Client{ID: "cli"}, []string{"read:everything"})
	if err == nil || strings.Contains(err.Error(), password) {
		t.Errorf("error is %v", err)
	}
	if !strings.Contains(fmt.Sprint(err), "for read:everything") { // the control: what is no secret is told
		t.Errorf("control: error is %v", err)
	}
}
