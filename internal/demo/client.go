package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"kb/internal/hint"
)

// Paths that the agent asks the forge's API for.
const (
	userPath    = "/user"
	privatePath = "/repos/" + workRepository
)

// answerMax bounds what the agent reads of an answer, in bytes.
const answerMax = 64 << 10

// Agent is the demo's API client: it prints the token that it was handed, sends
// it to https://api.forge.example/PATH through the proxy of its environment as
// any client would, and prints status and body of the answer. The host does
// not exist outside a demo, and only the demo's own paths are asked for.
func Agent(ctx context.Context, environ []string, path string, out io.Writer) error {
	if path != userPath && path != privatePath {
		return hint.Exit(hint.Usage, fmt.Errorf("ask the demo's forge for %q: only for %s and %s", path, userPath, privatePath), "run kb demo")
	}
	values := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		values[name] = value
	}
	if values["KB_SESSION"] == "" || values["HTTPS_PROXY"] == "" {
		return hint.Exit(hint.Usage, errors.New("ask the demo's forge: not inside a session"), "run kb demo")
	}
	proxy, err := url.Parse(values["HTTPS_PROXY"])
	if err != nil {
		return errors.New("read HTTPS_PROXY: not a URL") // err would print the session's token
	}
	pem, err := os.ReadFile(values["SSL_CERT_FILE"])
	if err != nil {
		return fmt.Errorf("read SSL_CERT_FILE: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{
		Proxy:             http.ProxyURL(proxy),
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+apiHost+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+values[variable])
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ask the demo's forge: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMax))
	if err != nil {
		return fmt.Errorf("read the forge's answer: %w", err)
	}
	_, err = fmt.Fprintf(out, "%s\n%d\n%s\n", values[variable], response.StatusCode, body)
	return err
}
