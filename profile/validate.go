package profile

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// maxPattern and maxField bound what a rule or profile may say, in bytes. Real
// ones need less than a tenth; wildcards are bounded so that no pattern takes
// long to hold against a hostile remote.
const (
	maxPattern   = 512
	maxWildcards = 16
	maxField     = 256
	maxName      = 64
)

// ValidateProfile returns an *InvalidError for a profile that must not be
// stored. Names are [a-z0-9][a-z0-9._-]{0,63} and not "none", which the command
// line uses for no profile.
func ValidateProfile(p Profile) error {
	bad := func(field, value, why string) error {
		return &InvalidError{Kind: "profile", Name: p.Name, Field: field, Value: value, Why: why}
	}
	if why := badName(p.Name); why != "" {
		return bad("name", p.Name, why)
	}
	for _, f := range [...][2]string{{"git name", p.GitName}, {"git email", p.GitEmail}, {"signing key", p.SigningKey}} {
		if why := badText(f[1], 4*maxField); why != "" {
			return bad(f[0], f[1], why)
		}
	}
	// git drops these from an author's name and address without a word.
	for _, f := range [...][2]string{{"git name", p.GitName}, {"git email", p.GitEmail}} {
		if strings.ContainsAny(f[1], "<>") {
			return bad(f[0], f[1], "holds < or >; give name and address apart")
		}
	}
	for _, a := range p.Also {
		if why := badName(a); why != "" {
			return bad("also", a, why)
		}
		if a == p.Name {
			return bad("also", a, "is the profile itself")
		}
	}
	if p.Egress != "" && p.Egress != "open" && p.Egress != "listed" {
		return bad("egress", p.Egress, "is neither open nor listed")
	}
	for provider, account := range p.Expect {
		if why := badName(provider); why != "" {
			return bad("expect", provider, why)
		}
		if why := badText(account, maxField); why != "" {
			return bad("expect", account, why)
		}
		if account == "" {
			return bad("expect", provider, "has no account name")
		}
	}
	return nil
}

// ValidateRule returns an *InvalidError for a rule that must not be stored:
// without conditions, or with one that could never hold or holds by surprise.
// An empty ID is accepted, for a rule that has yet to get one.
func ValidateRule(r Rule) error {
	bad := func(field, value, why string) error {
		return &InvalidError{Kind: "rule", Name: r.ID, Field: field, Value: value, Why: why}
	}
	if r.ID != "" {
		if why := badName(strings.ToLower(r.ID)); why != "" {
			return bad("id", r.ID, why)
		}
	}
	if why := badName(r.Profile); why != "" {
		return bad("profile", r.Profile, why)
	}
	if r.conditions() == 0 {
		return bad("conditions", "", "are missing; give a remote, dir, user, machine or agent")
	}
	if r.Remote != "" {
		if why := badRemotePattern(r.Remote); why != "" {
			return bad("remote", stripCredentials(r.Remote), why)
		}
	}
	if r.Dir != "" {
		if why := badDirPattern(r.Dir); why != "" {
			return bad("dir", r.Dir, why)
		}
	}
	for _, f := range [...][2]string{{"user", r.User}, {"machine", r.Machine}, {"agent", r.Agent}} {
		if why := badText(f[1], maxField); why != "" {
			return bad(f[0], f[1], why)
		}
		if strings.ContainsAny(f[1], "*?[") {
			return bad(f[0], f[1], "holds a wildcard; it is compared as it is")
		}
	}
	if short, _, dotted := strings.Cut(r.Machine, "."); dotted {
		return bad("machine", r.Machine, "has a domain; write "+short)
	}
	if i := strings.LastIndexByte(r.Agent, '/'); i >= 0 {
		return bad("agent", r.Agent, "is a path; write "+r.Agent[i+1:])
	}
	return nil
}

// badName says why name is no [a-z0-9][a-z0-9._-]{0,63}, or "".
func badName(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxName:
		return "is longer than 64 characters"
	case name == "none":
		return "is taken: it means no profile"
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return "may hold only a-z, 0-9 and, after the first, . _ -"
		}
	}
	return ""
}

// badText says why s cannot be stored and shown, or "".
func badText(s string, limit int) string {
	switch {
	case len(s) > limit:
		return "is too long"
	case !utf8.ValidString(s):
		return "is not UTF-8"
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return "holds a control character"
		}
	}
	return ""
}

// badPattern says what is wrong with a pattern of either kind.
func badPattern(p string) string {
	if why := badText(p, maxPattern); why != "" {
		return why
	}
	wildcards := 0
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '\\':
			i++
		case '{', '}':
			return "holds a brace; write one rule for each alternative"
		case '*', '?', '[':
			wildcards++
		}
	}
	if wildcards > 2*maxWildcards {
		return "holds too many wildcards"
	}
	for seg := range strings.SplitSeq(p, "/") {
		if seg == "." || seg == ".." {
			return "holds " + seg + ", which no real path does"
		}
		if seg != "**" && strings.Contains(seg, "**") {
			return "holds ** beside other text; it must stand alone between slashes"
		}
	}
	if !doublestar.ValidatePattern(p) {
		return "is no pattern: a [ or a \\ is left open"
	}
	return ""
}

// badRemotePattern says why a remote pattern could never match, or "".
func badRemotePattern(p string) string {
	if _, rest, ok := cutScheme(p); ok {
		if _, after, ok := cutLast(strings.SplitN(rest, "/", 2)[0], "@"); ok {
			rest = after + strings.TrimPrefix(rest, strings.SplitN(rest, "/", 2)[0])
		}
		return "is a URL; write " + strings.TrimSuffix(strings.TrimSuffix(rest, "/"), ".git")
	}
	host, path, slash := strings.Cut(p, "/")
	if user, rest, ok := strings.Cut(host, "@"); ok && user != "" {
		return "names a user; write " + strings.TrimSuffix(strings.Replace(rest+p[len(host):], ":", "/", 1), ".git")
	}
	if why := badPattern(p); why != "" {
		return why
	}
	switch {
	case host == "" || strings.HasPrefix(p, "~"):
		return "starts with no host; for a directory use a dir condition"
	case !slash || path == "":
		return "has no path; write " + host + "/**"
	case host == "**":
		return "has ** for its host; write * for any host"
	case strings.HasPrefix(host, "["):
		return "has a set of characters for its host; for an IPv6 address write \\" + strings.Replace(p, "]", `\]`, 1)
	case host != strings.ToLower(host):
		return "has an upper-case host; write " + strings.ToLower(host) + "/" + path
	case strings.HasSuffix(path, ".git"):
		return "ends in .git, which normal forms have not; write " + strings.TrimSuffix(p, ".git")
	case strings.Contains(p, "//") || strings.HasSuffix(p, "/"):
		return "has an empty path segment"
	}
	if real, ok := sshOverHTTPS(host); ok {
		return "names an ssh address; write " + real + "/" + path
	}
	name, port, hasPort := strings.Cut(host, ":")
	if hasPort && !strings.HasPrefix(host, `\[`) {
		if _, _, err := cutPort("h:" + port); err != nil || port == "" {
			return "has a port that is no number; write " + name + "/" + strings.TrimPrefix(port+"/"+path, "/")
		}
		if port == "22" || port == "443" || port == "80" {
			return "has a default port, which normal forms have not; write " + name + "/" + path
		}
	}
	return ""
}

// badDirPattern says why a directory pattern could never match, or "".
func badDirPattern(p string) string {
	if why := badPattern(p); why != "" {
		return why
	}
	switch {
	case p == "~" || p == "/":
		return ""
	case strings.HasPrefix(p, "~") && !strings.HasPrefix(p, "~/"):
		return "names another user's home; write its path"
	case p[0] != '/' && p[0] != '~':
		return "is not absolute; start it with / or ~/"
	case strings.HasSuffix(p, "/"):
		return "ends in a slash; for all below it write " + p + "**"
	case strings.Contains(p, "//"):
		return "has an empty path segment"
	}
	return ""
}
