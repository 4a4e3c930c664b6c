package refresh

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"kb/internal/state"
)

// connectTimeout leaves a second attempt time within askTimeout.
const connectTimeout = 4 * time.Second

// newClient is an HTTP client by the device's settings. It follows no redirect
// and keeps no connection; the environment has no say.
func newClient(s *state.Store) (*http.Client, error) {
	settings, err := s.Settings()
	if err != nil {
		return nil, err
	}
	var roots *x509.CertPool // nil: the system's
	if settings.UpstreamCA != "" {
		if roots, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("read system roots: %w", err)
		}
		if !roots.AppendCertsFromPEM([]byte(settings.UpstreamCA)) {
			return nil, fmt.Errorf("read setting %q: no certificate in it", "upstream_ca")
		}
	}
	dialer := &net.Dialer{Timeout: connectTimeout}
	if settings.Resolver != "" {
		if dialer.Resolver, err = resolverAt(settings.Resolver); err != nil {
			return nil, err
		}
	}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: connectTimeout,
			DisableKeepAlives:   true,
			ForceAttemptHTTP2:   true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// resolverAt asks the DNS server at ADDRESS or ADDRESS:PORT.
func resolverAt(setting string) (*net.Resolver, error) {
	at, err := netip.ParseAddrPort(setting)
	if err != nil {
		addr, err := netip.ParseAddr(setting)
		if err != nil {
			return nil, fmt.Errorf("read setting %q: not an address", "resolver")
		}
		at = netip.AddrPortFrom(addr, 53)
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, at.String())
	}}, nil
}
