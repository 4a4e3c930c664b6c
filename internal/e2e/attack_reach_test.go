package e2e

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"kb/internal/testkit"
)

// TestAttackReachingIn has names and literals lead to this machine, to its link,
// to private networks, to metadata services and to the proxy itself: with a
// credential kb goes to none of them, in a tunnel only to private networks.
func TestAttackReachingIn(t *testing.T) {
	a := newArena(t)
	sinks := a.insideSinks(t)
	loop := sinks["127.0.0.1"]
	mixed := []netip.Addr{a.evil.Addr, netip.MustParseAddr("127.0.0.1")}
	names := []struct {
		form  string
		addrs []netip.Addr
		sink  string // where the canary would go, if this machine has the address
	}{
		{"loopback", addrs("127.0.0.1"), "127.0.0.1"},
		{"loopback, another", addrs("127.8.9.10"), "127.8.9.10"},
		{"loopback IPv6", addrs("::1"), "::1"},
		{"4in6 loopback", addrs("::ffff:127.0.0.1"), "127.0.0.1"},
		{"unspecified", addrs("0.0.0.0"), "127.0.0.1"},
		{"unspecified IPv6", addrs("::"), "::1"},
		{"this network", addrs("0.1.2.3"), ""},
		{"link-local", addrs("169.254.7.7"), "169.254.7.7"},
		{"metadata", addrs("169.254.169.254"), "169.254.169.254"},
		{"metadata of ECS", addrs("169.254.170.2"), "169.254.170.2"},
		{"metadata of Azure's wire server", addrs("168.63.129.16"), "168.63.129.16"},
		{"metadata of Alibaba", addrs("100.100.100.200"), "100.100.100.200"},
		{"metadata of AWS over IPv6", addrs("fd00:ec2::254"), ""},
		{"private 10", addrs("10.0.0.1"), "10.0.0.1"},
		{"private 172.16", addrs("172.16.3.4"), "172.16.3.4"},
		{"private 192.168", addrs("192.168.1.1"), "192.168.1.1"},
		{"carrier-grade NAT", addrs("100.64.1.1"), "100.64.1.1"},
		{"unique local", addrs("fd12:3456::1"), ""},
		{"link-local IPv6", addrs("fe80::1"), ""},
		{"NAT64 of loopback", addrs("64:ff9b::7f00:1"), ""},
		{"NAT64 of metadata", addrs("64:ff9b::a9fe:a9fe"), ""},
		{"6to4 of loopback", addrs("2002:7f00:1::1"), ""},
		{"IPv4-compatible loopback", addrs("::7f00:1"), ""},
		{"IPv4-translated loopback", addrs("::ffff:0:7f00:1"), ""},
		{"multicast", addrs("224.0.0.1"), ""},
		{"broadcast", addrs("255.255.255.255"), ""},
		{"mixed public and loopback", mixed, "127.0.0.1"},
	}
	for i, n := range names {
		a.Resolver().Set(fmt.Sprintf("n%d.acme.example", i), n.addrs...)
		a.Resolver().Set(fmt.Sprintf("plain%d.example", i), n.addrs...)
	}
	rebound := a.serve("n39.acme.example", testkit.OriginConfig{HTTP1: true})
	// A login's own host may be private; metadata services may not.
	hosted := map[string]string{"git1.example": "169.254.169.254", "git2.example": "0.0.0.0", "git3.example": "224.0.0.1", "git4.example": "100.100.100.200"}
	for name, addr := range hosted {
		a.Resolver().Set(name, netip.MustParseAddr(addr))
		a.ok(a.work, "login", "gitea", "-p", "work", "--url", "https://"+name, "--as", strings.TrimSuffix(name, ".example"), "--stdin", "--no-verify")
	}
	a.child = a.start(a.home.Env, a.home.Dir)
	a.works(t)
	fallback := listener(loop)

	for i, n := range names {
		target := fallback
		if s := sinks[n.sink]; s != nil {
			target = s
		}
		host := fmt.Sprintf("n%d.acme.example", i)
		a.attack("a credentialed name at "+n.form, target, func(t *testing.T) answer {
			got := a.inside(host+":443", host, get(host, "/latest/meta-data/"))
			a.nobodyCalled(t)
			return got
		}, 403)
		// Private networks are within an agent's own reach: tunnels go there.
		if strings.HasPrefix(n.form, "private") || n.form == "carrier-grade NAT" || n.form == "unique local" {
			continue
		}
		a.attack("a tunnel to a name at "+n.form, target, func(t *testing.T) answer {
			c, got := a.connect(fmt.Sprintf("plain%d.example:443", i), "")
			if c != nil {
				_ = c.Close()
			}
			a.nobodyCalled(t)
			return got
		}, 403)
		a.attack("plain http to a name at "+n.form, target, func(t *testing.T) answer {
			name := fmt.Sprintf("plain%d.example:443", i)
			got := a.proxied("GET http://" + name + "/ HTTP/1.1\r\nHost: " + name + "\r\nAUTHConnection: close\r\n\r\n")
			a.nobodyCalled(t)
			return got
		}, 403)
	}
	for host, addr := range hosted {
		target := fallback
		if s := sinks[addr]; s != nil {
			target = s
		}
		a.attack("a login's own host at "+addr, target, func(t *testing.T) answer {
			got := a.inside(host+":443", host, get(host, "/api/v1/user"))
			a.nobodyCalled(t)
			return got
		}, 403)
	}
	for _, literal := range []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.0.0.1", "017700000001", "0177.0.0.1", "127.0.0.1.", "0", "0.0.0.0",
		"[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]",
		"[fe80::1%25lo]", "[::1%lo]", "::1", "localhost", "LOCALHOST.", "169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "[::ffff:169.254.169.254]",
	} {
		target := fallback
		if s := sinks["169.254.169.254"]; s != nil && (strings.Contains(literal, "254") || strings.Contains(literal, "285") || strings.Contains(literal, "a9fe")) {
			target = s
		}
		a.attack("literal "+literal, target, func(t *testing.T) answer {
			c, got := a.connect(literal+":443", "")
			if c != nil {
				_ = c.Close()
			}
			a.nobodyCalled(t)
			return got
		}, 400, 403, 502)
	}
	_, proxyPort, err := net.SplitHostPort(a.child.proxy)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.0.0.2", "0.0.0.0"} {
		a.attack("the proxy's own port as "+host, fallback, func(t *testing.T) answer {
			c, got := a.connect(host+":"+proxyPort, "")
			if c != nil {
				_ = c.Close()
			}
			return got
		}, 403)
		a.attack("the proxy's own port by http as "+host, fallback, func(*testing.T) answer {
			return a.proxied("GET http://" + host + ":" + proxyPort + "/ HTTP/1.1\r\nHost: " + host + ":" + proxyPort + "\r\nAUTHConnection: close\r\n\r\n")
		}, 403)
	}
	for _, port := range []uint16{22, 25, 465, 587} {
		a.attack(fmt.Sprintf("port %d", port), at{origin: a.evil, port: port}, func(*testing.T) answer {
			c, got := a.connect(fmt.Sprintf("%s:%d", evilHost, port), "")
			if c != nil {
				_ = c.Close()
			}
			return got
		}, 403)
		a.attack(fmt.Sprintf("port %d by http", port), at{origin: a.evil, port: port}, func(*testing.T) answer {
			name := fmt.Sprintf("%s:%d", evilHost, port)
			return a.proxied("GET http://" + name + "/ HTTP/1.1\r\nHost: " + name + "\r\nAUTHConnection: close\r\n\r\n")
		}, 403)
	}
	redis, err := a.sink("redis", "127.0.0.1:6379")
	if err != nil {
		t.Fatal(err)
	}
	a.attack("port 6379 of this machine", redis, func(t *testing.T) answer {
		got := a.proxied("POST http://localhost:6379/ HTTP/1.1\r\nHost: localhost:6379\r\nAUTHContent-Length: 9\r\nConnection: close\r\n\r\nFLUSHALL\n")
		a.nobodyCalled(t)
		return got
	}, 403)
	a.attack("rebinding", fallback, func(t *testing.T) answer {
		if got := a.inside(rebound.Name+":443", rebound.Name, get(rebound.Name, "/status?code=204")); got.status != 204 {
			t.Fatalf("the first request got %d", got.status)
		}
		a.Resolver().Set(rebound.Name, netip.MustParseAddr("127.0.0.1"))
		var got answer
		// Connections to the checked address, and kb's copy of /etc/hosts, live on
		// for a while; either is as good.
		testkit.Eventually(t, 20*time.Second, "the new address to be seen", func() bool {
			c, _ := a.tunnelTLS(rebound.Name+":443", "", &tls.Config{ServerName: rebound.Name})
			if c == nil {
				return false
			}
			defer func() { _ = c.Close() }()
			got = a.exchange(c, "GET /broken/close HTTP/1.1\r\nHost: "+rebound.Name+"\r\nConnection: close\r\n\r\n")
			time.Sleep(100 * time.Millisecond) // between two looks
			return got.status == 403
		})
		a.nobodyCalled(t)
		return got
	}, 403)
	a.works(t)
}

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, s := range list {
		out[i] = netip.MustParseAddr(s)
	}
	return out
}

// insideSinks listens on port 443 of the addresses that this namespace can have;
// the others are attacked all the same, with 127.0.0.1 for a control.
func (a *arena) insideSinks(t *testing.T) map[string]*sink {
	t.Helper()
	out := map[string]*sink{}
	for i, addr := range []string{
		"127.0.0.1", "127.8.9.10", "::1", "169.254.169.254", "169.254.7.7", "169.254.170.2", "168.63.129.16", "100.100.100.200",
		"10.0.0.1", "172.16.3.4", "192.168.1.1", "100.64.1.1",
	} {
		if err := ownAddress(fmt.Sprintf("lo:a%d", i), netip.MustParseAddr(addr)); err != nil {
			t.Logf("%s is not listened on: %v", addr, err)
			continue
		}
		s, err := a.sink(addr+" port 443", net.JoinHostPort(addr, "443"))
		if err != nil {
			t.Logf("%s is not listened on: %v", addr, err)
			continue
		}
		out[addr] = s
	}
	if out["127.0.0.1"] == nil {
		t.Fatal(errors.New("nothing listens on 127.0.0.1:443"))
	}
	return out
}

// nobodyCalled checks that no connection was made to a private listener.
func (a *arena) nobodyCalled(t *testing.T) {
	t.Helper()
	for _, s := range a.sinks {
		if n := s.connections(); n != 0 {
			t.Errorf("%d connections to %s", n, s.name)
		}
	}
}
