package broker

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/vaultfile"
)

// TestAttackIdentityAnswersWithTheCredential: what says whose a login is says it
// with the login's own credential, in a name or where HTTP has no place for it.
// The one would go into the vault, the other on a screen.
func TestAttackIdentityAnswersWithTheCredential(t *testing.T) {
	const canary = "acme-canary-4be81f09"
	for name, answer := range map[string]string{
		"as the name":       "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + fmt.Sprintf("%-200s", `{"login":"`+canary+`"}`),
		"in the name":       "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + fmt.Sprintf("%-200s", `{"login":"me (`+canary[5:]+`)"}`),
		"as a status":       "HTTP/1.1 " + canary + "\r\n\r\n",
		"as a line of head": "HTTP/1.1 200 OK\r\n" + canary + "\r\n\r\n",
		"control":           "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + fmt.Sprintf("%-200s", `{"login":"me"}`),
	} {
		t.Run(name, func(t *testing.T) {
			g := newGranted(t)
			arrived := g.serveRaw("api.acme.example", func(string) string { return answer })
			login := vaultfile.Login{Profile: "work", Provider: "acme", Method: "token", Secrets: map[string]secret.Value{"token": secret.New(canary)}}
			result, err := g.broker.Login(t.Context(), LoginSpec{Login: login, Verify: true})
			if got := <-arrived; !strings.Contains(got, canary) {
				t.Fatalf("control: the credential did not arrive: %q", got)
			}
			if (err == nil) != (name == "control") {
				t.Errorf("error is %v", err)
			}
			oracle := testkit.NewOracle(canary)
			oracle.Control(t, canary)
			oracle.Look("error", fmt.Append(nil, err))
			oracle.Look("result", fmt.Appendf(nil, "%+v", result))
			l, _ := g.record()
			oracle.Look("vault", fmt.Appendf(nil, "%+v", l))
			for _, finding := range oracle.Findings() {
				t.Errorf("canary: %s", finding)
			}
		})
	}
}

// TestAttackServiceEchoesInBrokenHTTP: the client that services are asked with,
// for references too, tells nothing of what they answered.
func TestAttackServiceEchoesInBrokenHTTP(t *testing.T) {
	const canary = "vault-canary-2a60c4"
	g := newGranted(t)
	arrived := g.serveRaw("vault.acme.example", func(head string) string {
		_, after, _ := strings.Cut(head, "X-Vault-Token: ")
		key, _, _ := strings.Cut(after, "\r\n")
		return "HTTP/1.1 200 OK\r\n" + key + "\r\n\r\n"
	})
	client, err := g.broker.client()
	if err != nil {
		t.Fatal(err)
	}
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://vault.acme.example/v1/secret", nil)
	request.Header.Set("X-Vault-Token", canary)
	response, err := client.Do(request)
	if err == nil {
		_ = response.Body.Close()
		t.Fatal("it was taken for an answer")
	}
	if got := <-arrived; !strings.Contains(got, canary) {
		t.Fatalf("control: the token did not arrive: %q", got)
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("error is %v", err)
	}
}

// serveRaw serves a name with bytes of the test's own, made of a request's head,
// and returns the heads that came.
func (g *granted) serveRaw(name string, answer func(head string) string) <-chan string {
	g.Helper()
	leaf, err := g.world.CA.Issue(testkit.Leaf{Names: []string{name}})
	if err != nil {
		g.Fatal(err)
	}
	arrived := make(chan string, 1)
	g.world.Serve(name, testkit.OriginConfig{Conn: func(raw net.Conn) {
		defer raw.Close()
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{*leaf}, MinVersion: tls.VersionTLS12})
		head := make([]byte, 4<<10)
		n, _ := conn.Read(head)
		arrived <- string(head[:n])
		_, _ = io.WriteString(conn, answer(string(head[:n])))
		_ = conn.CloseWrite()
	}})
	return arrived
}
