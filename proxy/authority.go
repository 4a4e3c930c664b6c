package proxy

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// errAuthority is why a host or port was refused; its text is shown to the
// client, so it quotes nothing the client sent.
var (
	errNoPort    = errors.New("the target has no port")
	errPort      = errors.New("the port is not a number from 1 to 65535")
	errUserinfo  = errors.New("the target holds user information")
	errHostChars = errors.New("the host is not a DNS name in A-label form (RFC 5890) or an IP address")
	errHostNum   = errors.New("the host is a number that is no dotted-quad IPv4 address")
)

// CanonicalHost returns the one spelling of a host name or IP literal that the
// proxy judges, dials, verifies and sends: lower case, no trailing dot, no
// brackets, IPv4-mapped addresses as IPv4.
//
// Names outside ASCII are refused rather than mapped: what UTS #46 would turn
// into good.example is a look-alike on the screen of whoever approves it.
// Clients convert to A-labels themselves.
func CanonicalHost(s string) (string, error) {
	if len(s) > 1 && s[0] == '[' && s[len(s)-1] == ']' {
		a, err := netip.ParseAddr(s[1 : len(s)-1])
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", errHostChars
		}
		return a.Unmap().String(), nil
	}
	if strings.IndexByte(s, ':') >= 0 {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return "", errHostChars
		}
		return a.Unmap().String(), nil
	}
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return "", errHostChars
	}
	upper, label, last := false, 0, 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_':
		case c >= 'A' && c <= 'Z':
			upper = true
		case c == '-':
			if i == label || i+1 == len(s) || s[i+1] == '.' {
				return "", errHostChars
			}
		case c == '.':
			if i == label {
				return "", errHostChars
			}
			if i-label > 63 {
				return "", errHostChars
			}
			label, last = i+1, i+1
		default:
			return "", errHostChars
		}
	}
	if label == len(s) || len(s)-label > 63 {
		return "", errHostChars
	}
	if upper {
		s = strings.ToLower(s)
	}
	// A name whose last label is a number is an address in one of the forms
	// that resolvers disagree about (127.1, 0x7f000001, 2130706433).
	if numeric(s[last:]) {
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() {
			return "", errHostNum
		}
		return a.String(), nil
	}
	return s, nil
}

func numeric(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// parseAuthority splits and canonicalises host:port. A port of 0 in def means
// that the port must be there.
func parseAuthority(s string, def uint16) (host string, port uint16, err error) {
	if strings.IndexByte(s, '@') >= 0 {
		return "", 0, errUserinfo
	}
	colon := strings.LastIndexByte(s, ':')
	if s != "" && s[len(s)-1] == ']' {
		colon = -1
	}
	if colon < 0 {
		if def == 0 {
			return "", 0, errNoPort
		}
		host, err = canonicalInAuthority(s)
		return host, def, err
	}
	digits := s[colon+1:]
	if digits == "" {
		return "", 0, errNoPort
	}
	if digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return "", 0, errPort
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, errPort
	}
	host, err = canonicalInAuthority(s[:colon])
	return host, uint16(n), err
}

// canonicalInAuthority refuses an IPv6 literal without brackets, which
// CanonicalHost takes from configuration (RFC 3986 §3.2.2).
func canonicalInAuthority(s string) (string, error) {
	if strings.IndexByte(s, ':') >= 0 && s[0] != '[' {
		return "", errHostChars
	}
	return CanonicalHost(s)
}

// hostPort joins a canonical host and a port, for Host: the port is left out
// where it is the scheme's own.
func hostPort(host string, port, def uint16) string {
	if port == def {
		if strings.IndexByte(host, ':') >= 0 {
			return "[" + host + "]"
		}
		return host
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
