package profile

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrNoHost says that a remote is no place on a network that rules could name:
// a path of this machine, or something that a remote helper makes sense of.
var ErrNoHost = errors.New("remote names no host")

// maxRemote is the longest remote that is looked at, in bytes: GitHub's longest
// names need 200, and a longer URL than this is refused by most servers.
const maxRemote = 4096

// Normal is the normal form of a remote: what is left of its URL when every
// way to write the same repository has become one.
type Normal struct {
	Host string // lower case, without user, port and trailing dot; IPv6 in brackets
	Port int    // 0 when it is the default of the URL's scheme
	Path string // without leading and trailing slashes and .git; never empty
}

// String gives host[:port]/path, the text that remote patterns are held
// against. The zero Normal is "".
func (n Normal) String() string {
	switch {
	case n == Normal{}:
		return ""
	case n.Port != 0:
		return n.Host + ":" + strconv.Itoa(n.Port) + "/" + n.Path
	}
	return n.Host + "/" + n.Path
}

// FoldRemote is a normal form with its path in lower case where the host sees no
// difference: equal ones are one repository.
func FoldRemote(normal string) string {
	if host, _, _ := strings.Cut(normal, "/"); foldsCase(host) {
		return strings.ToLower(normal)
	}
	return normal
}

// foldsCase reports whether host[:port] serves paths without regard to case.
func foldsCase(host string) bool {
	return host == "github.com" || host == "gitlab.com" || host == "bitbucket.org"
}

// NormalRemote gives the normal form of a remote as it stands in git's
// configuration. These are all github.com/acme/api:
//
//	git@github.com:acme/api.git        https://user:pw@github.com/acme/api/
//	ssh://git@github.com:22/acme/api   ssh://git@ssh.github.com:443/acme/api.git
//	org-123@github.com:acme/api        git+ssh://GitHub.com/acme//api
//
// The error is ErrNoHost for a path, a file URL and a remote helper's address
// (ext::, s3://); any other error means that the remote is malformed or built
// to be read in two ways, and says which. It never holds a user name, password
// or query.
//
// Azure's spellings become dev.azure.com/ORG/PROJECT/_git/REPO, CodeCommit's
// git-codecommit.REGION.amazonaws.com/v1/repos/NAME.
func NormalRemote(remote string) (Normal, error) {
	l, err := parseLocation(remote)
	if err != nil {
		return Normal{}, err
	}
	return l.normal()
}

// location is a remote taken apart, before what is equal was made the same.
type location struct {
	scheme string // ssh, git, http, https, ftp, ftps
	user   string // without password, as written
	host   string
	port   int // 0: none written
	path   string
}

// Git looks for @[ in the whole remote, and finds its host behind it.
const bracketsInPath = "its path holds @[, where git would look for a host"

func refuse(why string) error { return fmt.Errorf("read remote: %s", why) }

// parseLocation takes a remote apart the way git does (connect.c,
// parse_connect_url; transport.c, transport_get; url.c, url_decode), and
// refuses what git, ssh and curl could take apart in different ways.
func parseLocation(remote string) (location, error) {
	switch {
	case remote == "":
		return location{}, refuse("it is empty")
	case len(remote) > maxRemote:
		return location{}, refuse("it is longer than " + strconv.Itoa(maxRemote) + " bytes")
	case strings.ContainsFunc(remote, unicode.IsControl):
		return location{}, refuse("it holds a control character")
	}
	if helper, address, ok := cutHelper(remote); ok {
		if helper == "codecommit" {
			return codeCommit(address)
		}
		return location{}, fmt.Errorf("read remote: %w: %q is a remote helper", ErrNoHost, helper)
	}
	if scheme, rest, ok := cutScheme(remote); ok {
		return parseURL(strings.ToLower(scheme), rest)
	}
	return parseSCP(remote)
}

// cutHelper splits helper::address.
func cutHelper(s string) (helper, address string, ok bool) {
	i := schemeLen(s)
	if i == 0 || !strings.HasPrefix(s[i:], "::") {
		return "", "", false
	}
	return s[:i], s[i+2:], true
}

// cutScheme splits scheme://rest.
func cutScheme(s string) (scheme, rest string, ok bool) {
	i := schemeLen(s)
	if i == 0 || !strings.HasPrefix(s[i:], "://") {
		return "", "", false
	}
	return s[:i], s[i+3:], true
}

// schemeLen is the length of the scheme that s starts with, in git's alphabet.
func schemeLen(s string) int {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c|0x20 && c|0x20 <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return i
		}
	}
	return len(s)
}

func parseURL(scheme, rest string) (location, error) {
	switch scheme {
	case "ssh", "git+ssh", "ssh+git":
		scheme = "ssh"
	case "git", "http", "https", "ftp", "ftps":
	case "file":
		return location{}, fmt.Errorf("read remote: %w: it is a file URL", ErrNoHost)
	case "codecommit":
		return location{}, fmt.Errorf("read remote: %w: codecommit:// leaves the region to AWS's settings; write codecommit::REGION://NAME", ErrNoHost)
	default:
		return location{}, fmt.Errorf("read remote: %w: scheme %q", ErrNoHost, scheme)
	}
	if scheme != "ssh" && scheme != "git" && strings.ContainsAny(rest, "?#") {
		return location{}, refuse("it holds a query or a fragment")
	}
	if strings.Contains(rest, `\`) {
		return location{}, refuse("it holds a backslash, which some clients read as a slash")
	}
	authority, path, _ := strings.Cut(rest, "/")
	user, hostport, ok := cutLast(authority, "@")
	if !ok {
		user, hostport = "", authority
	}
	if ok && scheme == "git" {
		return location{}, refuse("git:// knows no user: git would look for a host of that name")
	}
	if err := checkUserinfo(scheme, user); err != nil {
		return location{}, err
	}
	if strings.Contains(hostport, "%") {
		return location{}, refuse("its host holds %XX")
	}
	host, port, err := cutPort(hostport)
	if err != nil {
		return location{}, err
	}
	if path, err = decodePercent(path); err != nil {
		return location{}, err
	}
	if (scheme == "ssh" || scheme == "git") && strings.Contains(path, "@[") {
		return location{}, refuse(bracketsInPath)
	}
	user, _, _ = strings.Cut(user, ":")
	return location{scheme: scheme, user: user, host: host, port: port, path: path}, nil
}

// checkUserinfo refuses what could move the end of the userinfo, and so the
// host, for one of the programs that read it.
func checkUserinfo(scheme, user string) error {
	if scheme != "ssh" { // curl's versions differ in which @ ends the userinfo
		if strings.ContainsAny(user, "@[]") {
			return refuse("its user name holds @ or brackets")
		}
		return nil
	}
	// Git decodes the whole URL before it takes it apart, and looks for a
	// host in brackets first: ssh://good%2F@evil/ and ssh://[good]@evil/ go
	// to good.
	decoded, err := decodePercent(user)
	if err != nil {
		return err
	}
	if strings.ContainsFunc(decoded, unicode.IsControl) || strings.ContainsAny(decoded, "/[]") || strings.Count(decoded, "@") != strings.Count(user, "@") {
		return refuse("its user name hides the end of the host")
	}
	return nil
}

// parseSCP reads [user@]host:path, or finds that it is a path of this machine.
func parseSCP(s string) (location, error) {
	colon, slash := strings.IndexByte(s, ':'), strings.IndexByte(s, '/')
	if colon < 0 || slash >= 0 && slash < colon {
		return location{}, fmt.Errorf("read remote: %w: it is a path", ErrNoHost)
	}
	if colon == 1 && len(s) > 2 && (s[2] == '\\' || s[2] == '/') && 'a' <= s[0]|0x20 && s[0]|0x20 <= 'z' {
		return location{}, fmt.Errorf("read remote: %w: it is a path on a drive", ErrNoHost)
	}
	// [user@host:port]:path, user@[host]:path, user@[host:port]:path: a
	// bracketed part hides its colons from the search for the one that counts.
	var user, hostport, path string
	if open := strings.Index(s, "@["); open >= 0 && open < colon || s[0] == '[' {
		if s[0] == '[' {
			open = 0
		} else {
			user = s[:open]
			open++
		}
		end := strings.IndexByte(s, ']')
		if end < open || !strings.HasPrefix(s[end+1:], ":") {
			return location{}, refuse("its brackets do not enclose a host")
		}
		hostport, path = s[open+1:end], s[end+2:]
		if u, h, ok := cutLast(hostport, "@"); ok {
			if user != "" {
				return location{}, refuse("it names two users")
			}
			user, hostport = u, h
		}
		if strings.HasSuffix(hostport, ":") && !strings.HasSuffix(hostport, "::") {
			return location{}, refuse("its port is empty")
		}
		if strings.Count(hostport, ":") > 1 {
			hostport = "[" + hostport + "]"
		}
	} else {
		hostport, path = s[:colon], s[colon+1:]
		if u, h, ok := cutLast(hostport, "@"); ok {
			user, hostport = u, h
		}
		if strings.ContainsAny(hostport, "[]") {
			return location{}, refuse("its brackets do not enclose a host")
		}
	}
	if strings.Contains(path, "@[") {
		return location{}, refuse(bracketsInPath)
	}
	host, port, err := cutPort(hostport)
	if err != nil {
		return location{}, err
	}
	return location{scheme: "ssh", user: user, host: host, port: port, path: path}, nil
}

// cutPort splits host[:port] and checks both. The host comes back in lower
// case, without a trailing dot.
func cutPort(hostport string) (host string, port int, err error) {
	host = hostport
	if rest, ok := strings.CutPrefix(hostport, "["); ok {
		inner, tail, ok := strings.Cut(rest, "]")
		if !ok || tail != "" && tail[0] != ':' {
			return "", 0, refuse("its brackets do not enclose a host")
		}
		ip, perr := netip.ParseAddr(inner)
		if perr != nil || !ip.Is6() || ip.Zone() != "" {
			return "", 0, refuse("its host is no IPv6 address")
		}
		host, hostport = "["+ip.String()+"]", tail
	} else {
		host, _, _ = strings.Cut(hostport, ":")
		hostport = hostport[len(host):]
		host = strings.TrimSuffix(strings.ToLower(host), ".")
		if err := checkHost(host); err != nil {
			return "", 0, err
		}
	}
	if len(hostport) > 1 {
		n, perr := strconv.ParseUint(hostport[1:], 10, 16)
		if perr != nil || n == 0 {
			return "", 0, refuse("its port is no number from 1 to 65535")
		}
		port = int(n)
	}
	return host, port, nil
}

func checkHost(host string) error {
	switch {
	case host == "":
		return refuse("its host is empty")
	case len(host) > 253: // RFC 1035, section 2.3.4, less the root
		return refuse("its host is longer than 253 bytes")
	case host[0] == '-':
		return refuse("its host starts with a dash")
	case host[0] == '.' || host[len(host)-1] == '.' || strings.Contains(host, ".."):
		return refuse("its host has an empty label")
	case isNumber(host[strings.LastIndexByte(host, '.')+1:]):
		// 0, 127.1 and 0x7f.1 are addresses to curl and getaddrinfo.
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is4() {
			return refuse("its host is a number but no IPv4 address in full")
		}
		return nil
	}
	for i := range len(host) {
		c := host[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return refuse("its host holds a character that host names have not (write other alphabets as xn--)")
		}
	}
	return nil
}

// isNumber reports whether a host name's last label makes it an address
// (url.spec.whatwg.org, ends in a number checker).
func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

func (l location) normal() (Normal, error) {
	path, err := cleanPath(l.path)
	if err != nil {
		return Normal{}, err
	}
	n := Normal{Host: l.host, Port: l.port, Path: path}
	if n.Port == defaultPort(l.scheme) {
		n.Port = 0
	}
	if real, ok := sshOverHTTPS(n.Host); ok && l.scheme == "ssh" && (n.Port == 0 || n.Port == 443) {
		n.Host, n.Port = real, 0
	}
	return azure(n, l), nil
}

func defaultPort(scheme string) int {
	switch scheme {
	case "ssh":
		return 22
	case "https":
		return 443
	case "http":
		return 80
	case "git":
		return 9418
	case "ftp":
		return 21
	case "ftps":
		return 990
	}
	return 0
}

// cleanPath drops what does not distinguish one repository from another and
// refuses what a server might walk out of its place with.
func cleanPath(path string) (string, error) {
	if !utf8.ValidString(path) {
		return "", refuse("its path is not UTF-8")
	}
	for _, r := range path {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return "", refuse("its path holds a control character")
		}
	}
	if strings.Contains(path, `\`) {
		return "", refuse("it holds a backslash, which some servers read as a slash")
	}
	kept := make([]string, 0, strings.Count(path, "/")+1)
	for seg := range strings.SplitSeq(path, "/") {
		switch seg {
		case "", ".":
		case "..":
			return "", refuse("its path holds ..")
		default:
			kept = append(kept, seg)
		}
	}
	for len(kept) > 0 {
		last := len(kept) - 1
		short, cut := strings.CutSuffix(kept[last], ".git")
		if !cut {
			break
		}
		if short == "." || short == ".." {
			return "", refuse("its path holds ..")
		}
		if kept = kept[:last]; short != "" {
			kept = append(kept, short)
		}
	}
	if len(kept) == 0 {
		return "", refuse("its path is empty")
	}
	return strings.Join(kept, "/"), nil
}

// decodePercent decodes %XX once. Like git, it leaves a % that starts no such
// triple alone.
func decodePercent(s string) (string, error) {
	if !strings.Contains(s, "%") {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				if n == 0 {
					return "", refuse("it holds %00")
				}
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String(), nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+len(sep):], true
}
