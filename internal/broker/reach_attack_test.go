package broker

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"testing"

	"kb/internal/testkit"
	"kb/vaultfile"
)

// TestAttackServerNamesAPrivateAddress: an MCP server on the Internet, of which a
// person was told, says that one logs in at a service in the person's own network.
func TestAttackServerNamesAPrivateAddress(t *testing.T) {
	const intranet = "https://intranet.acme.example"
	for name, c := range map[string]struct {
		at      netip.Addr // of the MCP server
		service netip.Addr // of the service
		hostile func(g *granted, r *testkit.ProtectedResource)
		served  bool
	}{
		"as the issuer": {
			netip.MustParseAddr("203.0.113.200"), netip.MustParseAddr("10.1.2.3"),
			func(_ *granted, r *testkit.ProtectedResource) {
				r.SetMetadata("authorization_servers", []string{intranet})
			}, false,
		},
		"as where clients register": {
			netip.MustParseAddr("203.0.113.200"), netip.MustParseAddr("10.1.2.3"),
			func(g *granted, _ *testkit.ProtectedResource) {
				g.auth.SetMetadata("registration_endpoint", intranet+"/register")
			}, false,
		},
		"on this machine": {
			netip.MustParseAddr("203.0.113.200"), netip.MustParseAddr("127.0.0.1"),
			func(_ *granted, r *testkit.ProtectedResource) {
				r.SetMetadata("authorization_servers", []string{intranet})
			}, false,
		},
		"mapped": {
			netip.MustParseAddr("203.0.113.200"), netip.MustParseAddr("::ffff:10.1.2.3"),
			func(_ *granted, r *testkit.ProtectedResource) {
				r.SetMetadata("authorization_servers", []string{intranet})
			}, false,
		},
		"the cloud's metadata, from within": {
			netip.MustParseAddr("10.1.2.4"), netip.MustParseAddr("169.254.169.254"),
			func(_ *granted, r *testkit.ProtectedResource) {
				r.SetMetadata("authorization_servers", []string{intranet})
			}, false,
		},
		"control: both in the network": {
			netip.MustParseAddr("10.1.2.4"), netip.MustParseAddr("10.1.2.3"),
			func(_ *granted, r *testkit.ProtectedResource) {
				r.SetMetadata("authorization_servers", []string{intranet})
			}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGranted(t)
			resource := testkit.NewProtectedResource(g.auth.Issuer)
			mcpAt := g.world.Serve("mcp.acme.example", testkit.OriginConfig{Handler: resource})
			service := g.world.Serve("intranet.acme.example", testkit.OriginConfig{Handler: http.NotFoundHandler()})
			g.world.Resolver().Set("mcp.acme.example", c.at)
			g.world.Resolver().Set("intranet.acme.example", c.service)
			g.options.Dial = func(ctx context.Context, at netip.AddrPort) (net.Conn, error) {
				switch at.Addr().Unmap() {
				case c.at:
					at = netip.AddrPortFrom(mcpAt.Addr, at.Port())
				case c.service.Unmap():
					at = netip.AddrPortFrom(service.Addr, at.Port())
				}
				return g.world.Dial(ctx, "tcp", at.String())
			}
			g.broker = g.open()
			if err := g.broker.AddProvider(t.Context(), vaultfile.Provider{Name: "tools", TOML: mcp}); err != nil {
				t.Fatal(err)
			}
			c.hostile(g, resource)
			o := OAuthLogin{Login: vaultfile.Login{Profile: "work", Provider: "tools", Base: "https://mcp.acme.example", Method: "oauth"}, Screen: g.person(), Flow: FlowCode}
			_, err := g.broker.LoginOAuth(t.Context(), o)
			if err == nil {
				t.Fatal("it is logged in")
			}
			if len(mcpAt.Requests()) == 0 {
				t.Fatalf("control: the MCP server was not asked: %v", err)
			}
			if n := len(service.Requests()); (n > 0) != c.served {
				t.Errorf("the service got %d requests", n)
			}
			if refused := strings.Contains(err.Error(), "refuse to dial"); refused == c.served {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// TestAttackServerIsInBothPlaces: a server on the Internet that is slow to answer has a
// private address beside, which is dialled last (RFC 8305), and counts as one of that
// network.
func TestAttackServerIsInBothPlaces(t *testing.T) {
	const public, private = "203.0.113.200:443", "10.1.2.3:443"
	for name, c := range map[string]struct {
		dialled []string
		refused bool
	}{
		"the private one last":     {[]string{public, private}, true},
		"the private one first":    {[]string{private, public}, true},
		"control: none outside":    {[]string{private, private}, false},
		"control: none inside":     {[]string{public}, true},
		"nothing that was dialled": {nil, false},
	} {
		ctx := bounded(t.Context())
		follow(ctx)
		for _, at := range c.dialled {
			if err := dialable(ctx, "tcp", at, nil); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if len(c.dialled) > 0 {
			httptrace.ContextClientTrace(ctx).GotConn(httptrace.GotConnInfo{})
		}
		if err := dialable(ctx, "tcp", private, nil); (err != nil) != c.refused {
			t.Errorf("%s: %s: %v", name, private, err)
		}
		if err := dialable(ctx, "tcp", public, nil); err != nil {
			t.Errorf("%s: %s: %v", name, public, err)
		}
	}
}

// TestAttackPageOfAnotherServer: a server of which a person knows the address
// sends them to the page of an honest one, with what it asked for there itself. What
// they grant would be its own. Nothing in the protocol tells (RFC 9207 would, where
// the honest one does it); the person is told where it goes.
func TestAttackPageOfAnotherServer(t *testing.T) {
	for name, c := range map[string]struct {
		page, want string
	}{
		"another's page":             {"https://login.honest.example/authorize", "auth.acme.example"},
		"its own":                    {"", ""},
		"control: of the same owner": {"https://accounts.acme.example/authorize", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGranted(t)
			g.world.Serve("mcp.acme.example", testkit.OriginConfig{Handler: testkit.NewProtectedResource(g.auth.Issuer)})
			if err := g.broker.AddProvider(t.Context(), vaultfile.Provider{Name: "tools", TOML: mcp}); err != nil {
				t.Fatal(err)
			}
			if c.page != "" {
				g.auth.SetMetadata("authorization_endpoint", c.page)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			seen := &looker{cancel: cancel}
			login := vaultfile.Login{Profile: "work", Provider: "tools", Base: "https://mcp.acme.example", Method: "oauth"}
			_, _ = g.broker.LoginOAuth(ctx, OAuthLogin{Login: login, Screen: seen, Flow: FlowCode})
			if seen.visit.URL == "" || seen.visit.Takes != c.want {
				t.Errorf("sent to %s, and told that it goes to %q", seen.visit.URL, seen.visit.Takes)
			}
			if c.want != "" && !strings.Contains(seen.visit.Elsewhere(), "at login.honest.example goes to "+c.want) {
				t.Errorf("told: %s", seen.visit.Elsewhere())
			}
		})
	}
}

// looker is a Screen that looks and goes away.
type looker struct {
	visit  Visit
	cancel func()
}

func (l *looker) Visit(v Visit) { l.visit = v; l.cancel() }

func (l *looker) Redirected(ctx context.Context) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}
