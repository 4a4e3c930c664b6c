package broker

import (
	"context"
	"net"
	"net/http"
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
