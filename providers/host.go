package providers

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// hostVar stands in a definition for the host of a login's base URL.
const hostVar = "{host}"

// httpsPort is where a credential goes unless a pattern names another port.
const httpsPort = 443

// maxHost is the longest name that DNS carries in text (RFC 1035 §2.3.4, less
// the root's dot).
const maxHost = 253

// hostPattern is a parsed host of a definition.
type hostPattern struct {
	name   string // canonical host; for a suffix pattern with its leading dot; an IP literal without brackets
	suffix bool
	port   uint16
}

// match reports whether a canonical host and a port fit. It does not allocate.
// A host that is not canonical (upper case, trailing dot, U-labels) matches
// nothing: the caller canonicalises once, and a slip fails closed.
func (p hostPattern) match(host string, port uint16) bool {
	if port != p.port {
		return false
	}
	if !p.suffix {
		return host == p.name
	}
	// name starts with its dot, so that the boundary is a label's; one label at
	// least must stand before it.
	if len(host) <= len(p.name) || !strings.HasSuffix(host, p.name) || host[0] == '.' {
		return false
	}
	return !strings.Contains(host[:len(host)-len(p.name)+1], "..")
}

// overlaps reports whether some host fits both patterns.
func (p hostPattern) overlaps(q hostPattern) bool {
	switch {
	case p.port != q.port:
		return false
	case p.suffix && q.suffix:
		return strings.HasSuffix(p.name, q.name) || strings.HasSuffix(q.name, p.name)
	case p.suffix:
		return p.match(q.name, q.port)
	default:
		return q.match(p.name, p.port)
	}
}

// MatchHost reports whether a host pattern of a definition ("api.github.com",
// "*.ghe.com", "git.acme.example:8443") fits a canonical host and a port. A
// suffix pattern fits names with one label or more before the suffix, never the
// suffix itself. A pattern without a port means 443. A malformed pattern or one
// that still holds {host} fits nothing.
func MatchHost(pattern, host string, port uint16) bool {
	p, err := parseHost(pattern)
	return err == nil && p.match(host, port)
}

// SplitHost takes a host pattern apart: "*.ghe.com:8443" is ("*.ghe.com", 8443),
// "api.github.com" is ("api.github.com", 443). IP literals come without
// brackets.
func SplitHost(pattern string) (name string, port uint16, err error) {
	p, err := parseHost(pattern)
	if p.suffix && err == nil {
		return "*" + p.name, p.port, nil
	}
	return p.name, p.port, err
}

// CanonicalHost returns the one spelling of a DNS name that patterns are
// compared with: lower case, A-labels (UTS #46, nontransitional), no trailing
// dot. IP literals, with or without brackets, come back without.
func CanonicalHost(s string) (string, error) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", fmt.Errorf("read host %q: not an address in brackets", s)
		}
		return addr.String(), nil
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return "", fmt.Errorf("read host %q: an address with a zone", s)
		}
		return addr.String(), nil
	}
	name := strings.TrimSuffix(s, ".")
	if !isASCIIName(name) {
		// The second pass reads what the first one wrote: an A-label that it would
		// not take is no name to compare with.
		a, err := idna.Lookup.ToASCII(name)
		if err == nil {
			_, err = idna.Lookup.ToASCII(a)
		}
		if err != nil || !utf8.ValidString(name) {
			return "", fmt.Errorf("read host %q: not a name that IDNA allows", s)
		}
		name = a
	}
	name = strings.ToLower(name)
	if err := checkName(name); err != nil {
		return "", fmt.Errorf("read host %q: %w", s, err)
	}
	return name, nil
}

// isASCIIName spares plain names the IDNA tables. Names with an A-label go
// through them, because a malformed one must be refused.
func isASCIIName(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return !strings.Contains(strings.ToLower(s), "xn--")
}

// checkName holds a lower-case name to RFC 1123 §2.1 host names, with the
// underscore that some vendors use in labels left out on purpose.
func checkName(name string) error {
	if name == "" {
		return errors.New("empty")
	}
	if len(name) > maxHost {
		return fmt.Errorf("longer than %d characters", maxHost)
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" {
			return errors.New("empty label")
		}
		if len(label) > 63 {
			return errors.New("label longer than 63 characters")
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("label starts or ends with a hyphen")
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return fmt.Errorf("character %q in a name", c)
			}
		}
	}
	// A last label of digits only is how inet_aton spells addresses ("127.1",
	// "2130706433"); what is no netip address by now must not be a name.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" || isHexNumber(last) {
		return errors.New("ends like an IP address")
	}
	return nil
}

func isHexNumber(s string) bool {
	digits, ok := strings.CutPrefix(s, "0x")
	return ok && strings.Trim(digits, "0123456789abcdef") == ""
}

// parseHost reads a host pattern without variables.
func parseHost(pattern string) (hostPattern, error) {
	p := hostPattern{port: httpsPort}
	name := pattern
	if strings.HasPrefix(pattern, "[") {
		end := strings.IndexByte(pattern, ']')
		if end < 0 {
			return p, fmt.Errorf("read host pattern %q: no closing bracket", pattern)
		}
		name = pattern[:end+1]
	} else if colon := strings.IndexByte(pattern, ':'); colon >= 0 {
		name = pattern[:colon]
	}
	if rest := pattern[len(name):]; rest != "" {
		port, err := parsePort(strings.TrimPrefix(rest, ":"))
		if err != nil || rest[0] != ':' {
			return p, fmt.Errorf("read host pattern %q: bad port", pattern)
		}
		p.port = port
	}
	if rest, ok := strings.CutPrefix(name, "*."); ok {
		p.suffix, name = true, rest
	}
	if strings.Contains(name, "*") {
		return p, fmt.Errorf("read host pattern %q: a star may only stand for the first labels, as in \"*.acme.example\"", pattern)
	}
	canonical, err := CanonicalHost(name)
	if err != nil {
		return p, err
	}
	if canonical != strings.Trim(name, "[]") {
		return p, fmt.Errorf("read host pattern %q: write it as %q", pattern, canonical)
	}
	p.name = canonical
	if p.suffix {
		if _, err := netip.ParseAddr(canonical); err == nil {
			return p, fmt.Errorf("read host pattern %q: a suffix of an IP address", pattern)
		}
		p.name = "." + canonical
	}
	return p, nil
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, fmt.Errorf("read port %q", s)
	}
	return uint16(n), nil
}

// SameOwner reports whether two hosts are of one owner, as far as names tell: they
// are the same, or below one name that is not open to anybody.
func SameOwner(a, b string) bool {
	if strings.EqualFold(a, b) {
		return true
	}
	if _, err := netip.ParseAddr(a); err == nil {
		return false
	}
	owner, err := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(a))
	other, failed := publicsuffix.EffectiveTLDPlusOne(strings.ToLower(b))
	return err == nil && failed == nil && owner == other
}

// checkOwned refuses names under which anybody may register: a pattern for one
// would send the credential to strangers. https://publicsuffix.org/
func checkOwned(name string) error {
	suffix, icann := publicsuffix.PublicSuffix(name)
	if suffix != name {
		return nil
	}
	if !icann && !strings.Contains(name, ".") {
		// The list's default rule makes any single unknown label a suffix; it
		// is a name on a private network.
		return nil
	}
	return fmt.Errorf("%q is a public suffix: anybody can own names under it", name)
}
