package proxy

import "net/netip"

// reach is how far a connection may go: which resolved addresses it may dial.
type reach uint8

const (
	// reachPublic is for connections that carry credentials.
	reachPublic reach = iota
	// reachTunnel is for what the agent could dial itself: private networks
	// are its own business, but the machine, the link and metadata services
	// are not reached through kb.
	reachTunnel
	// reachPrivate is for an authority that a rule or a login's own host
	// lists: all but metadata services, multicast and the unspecified address.
	reachPrivate
)

// Source of the ranges: IANA's special-purpose address registries (RFC 6890
// and its updates). 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24 (RFC
// 5737) are left out on purpose: nothing is there, and tests use them.
var (
	metadata = [...]netip.Addr{
		netip.MustParseAddr("169.254.169.254"), // AWS, Google Cloud, Azure and most others
		netip.MustParseAddr("169.254.170.2"),   // AWS ECS task credentials
		netip.MustParseAddr("169.254.170.23"),  // AWS EKS pod identity
		netip.MustParseAddr("168.63.129.16"),   // Azure's wire server
		netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
		netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud's older address
		netip.MustParseAddr("fd00:ec2::254"),   // AWS over IPv6
		netip.MustParseAddr("fd00:ec2::23"),    // AWS EKS pod identity over IPv6
		netip.MustParseAddr("fd20:ce::254"),    // Google Cloud over IPv6
	}
	// never holds what no connection may reach.
	never = [...]netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),       // "this network"; Linux dials 0.0.0.0 as loopback
		netip.MustParsePrefix("224.0.0.0/3"),     // multicast, reserved, broadcast
		netip.MustParsePrefix("::/128"),          // unspecified
		netip.MustParsePrefix("ff00::/8"),        // multicast
		netip.MustParsePrefix("fec0::/10"),       // site-local, deprecated (RFC 3879)
		netip.MustParsePrefix("100::/64"),        // discard-only (RFC 6666)
		netip.MustParsePrefix("::ffff:0:0:0/96"), // IPv4-translated (RFC 2765), obsolete
		netip.MustParsePrefix("2001::/32"),       // Teredo: tunnels to an embedded address
		netip.MustParsePrefix("2001:10::/28"),    // ORCHID
	}
	// local is the machine and its link.
	local = [...]netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("::1/128"),
		netip.MustParsePrefix("fe80::/10"),
	}
	// private is other networks that are not the Internet.
	private = [...]netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("100.64.0.0/10"),  // carrier-grade NAT (RFC 6598)
		netip.MustParsePrefix("192.0.0.0/24"),   // IETF protocol assignments
		netip.MustParsePrefix("198.18.0.0/15"),  // benchmarking (RFC 2544)
		netip.MustParsePrefix("fc00::/7"),       // unique local
		netip.MustParsePrefix("64:ff9b:1::/48"), // local-use NAT64 (RFC 8215)
	}
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4  = netip.MustParsePrefix("2002::/16")
	compat4 = netip.MustParsePrefix("::/96") // IPv4-compatible (RFC 4291), obsolete
)

// Blocked says why an address may not be dialled by whoever was only told of it;
// "" means it may. Within a private network that is less.
func Blocked(a netip.Addr, private bool) string {
	if private {
		return blocked(a, reachPrivate)
	}
	return blocked(a, reachPublic)
}

// blocked says why an address may not be dialled within reach; "" means it
// may. Addresses that carry an IPv4 address are judged by that one too.
func blocked(a netip.Addr, r reach) string {
	if a.Zone() != "" {
		return "an address with a zone"
	}
	a = a.Unmap()
	for _, m := range metadata {
		if a == m {
			return "a cloud metadata service"
		}
	}
	for _, p := range never {
		if p.Contains(a) {
			return "a multicast, unspecified or reserved address"
		}
	}
	if r != reachPrivate {
		for _, p := range local {
			if p.Contains(a) {
				return "a loopback or link-local address"
			}
		}
	}
	if r == reachPublic {
		for _, p := range private {
			if p.Contains(a) {
				return "a private address"
			}
		}
	}
	if v4, ok := embedded(a); ok {
		return blocked(v4, r)
	}
	return ""
}

// embedded returns the IPv4 address inside a transition address: NAT64 (RFC
// 6052), 6to4 (RFC 3056), IPv4-compatible.
func embedded(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() || a.IsLoopback() {
		return netip.Addr{}, false
	}
	b := a.As16()
	switch {
	case nat64.Contains(a), compat4.Contains(a):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixTo4.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	}
	return netip.Addr{}, false
}

// tunnelPort reports whether a tunnel that kb does not read may reach a port
// without a rule: remote shells and mail (submission) servers are what an
// agent must not reach through somebody's proxy.
func tunnelPort(port uint16) bool {
	switch port {
	case 22, 25, 465, 587:
		return false
	}
	return true
}
