package policy

import (
	"cmp"
	"slices"
	"strings"
)

// Grammar reads the patterns that other rooms' words are made of.
type Grammar struct {
	Path func(pattern string) (PathPattern, error)
	// CheckRepository says what is wrong with a pattern, MatchRepository
	// whether a repository's normal form fits one.
	CheckRepository func(pattern string) error
	MatchRepository func(pattern, repository string) bool
}

// PathPattern is a parsed glob. Decoded says that path has no percent triplets
// and no parameters left, so that the pattern's own count as what they stand
// for; fold that case, a slash at the end and ".json" do not matter.
type PathPattern interface {
	Match(path string, decoded, fold bool) bool
}

// Kinds are the kinds of git request that a request may be. Both are set where
// only its body would tell.
type Kinds uint8

// Bits of Kinds. 0 is no request of git's own.
const (
	Reads Kinds = 1 << iota
	Writes
)

// Reading is one way in which a server may understand a path.
type Reading struct {
	Path       string // normalised
	Decoded    bool   // nothing in Path is encoded any more
	Repository string // that Path names; "" for none
	Git        Kinds
}

// Request is what is decided on.
type Request struct {
	Profile  string // by full name
	Provider string
	Methods  []string // of the request line, and each that a field or parameter names besides
	Host     string   // canonical
	Port     uint16
	Readings []Reading // one at least
	Mint     bool      // makes a new credential
}

// Verdict is a decision, and why.
type Verdict struct {
	Effect Effect // Allow, Ask or Deny
	Rule   *Rule  // the line that decided; nil when none fits. Not to be changed
	Reason string // for the audit, the 403 and every screen
	Limits []*Rule
}

// Reasons of verdicts that no line gave.
const (
	noLine     = "no policy line fits"
	noMintLine = "the request makes a new credential, and no policy line with --mint fits"
)

// Set is compiled lines. It is immutable. The nil Set has no lines.
type Set struct {
	lines  map[target]*lines
	closed string // not empty: everything is denied, and why
}

// target is whose requests, at which provider; "" is any that has no lines of
// its own.
type target struct{ profile, provider string }

// lines are those that may fit a target's requests, strongest first: few, where
// a vault has hundreds.
type lines struct{ decide, limit []*line }

type line struct {
	Rule
	host    hostPattern
	path    PathPattern
	grammar Grammar
	rank    [6]int // see compare
	reason  string
}

// Compile makes lines ready. The error is an *InvalidError.
func Compile(rules []Rule, g Grammar) (*Set, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	s := &Set{lines: map[target]*lines{}}
	all := make([]*line, len(rules))
	for i := range rules {
		var err error
		if all[i], err = compile(&rules[i], g); err != nil {
			return nil, err
		}
		for _, provider := range [...]string{"", rules[i].Provider} {
			if at := (target{rules[i].Profile, provider}); s.lines[at] == nil {
				s.lines[at] = &lines{}
			}
		}
	}
	slices.SortFunc(all, compare)
	for at, list := range s.lines {
		for _, l := range all {
			switch {
			case l.Profile != at.profile || l.Provider != "" && l.Provider != at.provider:
			case l.Effect == Limit:
				list.limit = append(list.limit, l)
			default:
				list.decide = append(list.decide, l)
			}
		}
	}
	return s, nil
}

// at are the lines for a profile's requests at a provider.
func (s *Set) at(profile, provider string) *lines {
	if s == nil {
		return &noLines
	}
	if l := s.lines[target{profile, provider}]; l != nil {
		return l
	}
	if l := s.lines[target{profile, ""}]; l != nil {
		return l
	}
	return &noLines
}

var noLines lines

// Closed is a set that denies everything, for lines that cannot be read.
func Closed(why error) *Set { return &Set{closed: why.Error()} }

func compile(r *Rule, g Grammar) (*line, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	l := &line{Rule: *r, grammar: g}
	l.Methods = slices.Clone(r.Methods)
	if r.Host != "" {
		var why string
		if l.host, why = parseHost(r.Host); why != "" {
			return nil, &InvalidError{r.ID, "host", r.Host, why}
		}
	}
	if r.Path != "" {
		var err error
		if l.path, err = g.Path(r.Path); err != nil {
			return nil, &InvalidError{r.ID, "path", "", "cannot be used: " + err.Error()}
		}
	}
	if r.Repository != "" {
		if err := g.CheckRepository(r.Repository); err != nil {
			return nil, &InvalidError{r.ID, "repository", r.Repository, err.Error()}
		}
	}
	l.rank = [6]int{
		r.conditions(), literal(r.Path), literal(r.Host), literal(r.Repository), r.Effect.strictness(),
	}
	if r.Mint { // of two that ask, the one that may let a mint through
		l.rank[5] = 1
	}
	l.reason = "policy " + l.String()
	if r.ID != "" {
		l.reason = "policy " + r.ID + ": " + l.String()
	}
	return l, nil
}

// literal is how much a pattern says: its characters that are no wildcards,
// and of two that say as much one without wildcards more.
func literal(pattern string) int {
	stars := strings.Count(pattern, "*") + strings.Count(pattern, "?")
	n := 2 * (len(pattern) - stars)
	if stars == 0 && pattern != "" {
		n++
	}
	return n
}

// compare orders lines, the one that decides first.
func compare(a, b *line) int {
	for i := range a.rank {
		if a.rank[i] != b.rank[i] {
			return b.rank[i] - a.rank[i]
		}
	}
	return cmp.Compare(a.ID, b.ID) // for a reason that does not change
}

// Order is negative if a decides over b where both fit. Lines that cannot be
// compiled come last.
func Order(a, b *Rule, g Grammar) int {
	x, errX := compile(a, g)
	y, errY := compile(b, g)
	switch {
	case errX != nil && errY != nil:
		return 0
	case errX != nil:
		return 1
	case errY != nil:
		return -1
	}
	return compare(x, y)
}

// Speaks reports whether any line is about a profile.
func (s *Set) Speaks(profile string) bool {
	return s != nil && (s.closed != "" || s.lines[target{profile, ""}] != nil)
}

// Mints reports whether a line may allow a profile's sessions to make new
// credentials.
func (s *Set) Mints(profile string) bool {
	if s == nil {
		return false
	}
	for at, list := range s.lines {
		if at.profile == profile && slices.ContainsFunc(list.decide, func(l *line) bool { return l.Mint && l.Effect != Deny }) {
			return true
		}
	}
	return false
}

// Decide decides on a request. Without lines about the profile it allocates
// nothing.
func (s *Set) Decide(r *Request) Verdict {
	if !s.Speaks(r.Profile) {
		return undecided(r)
	}
	if s.closed != "" {
		return Verdict{Effect: Deny, Reason: s.closed}
	}
	list := s.at(r.Profile, r.Provider)
	var strictest Verdict
	for i := range r.views() {
		v, ok := r.view(i)
		if !ok {
			continue
		}
		one := decide(list.decide, &v)
		if strictest.Effect == "" || one.Effect.strictness() > strictest.Effect.strictness() {
			strictest = one
		}
	}
	if strictest.Effect == "" { // a request without a method or a reading
		return Verdict{Effect: Deny, Reason: "the request cannot be read"}
	}
	for _, l := range list.limit {
		if l.fitsAny(r) {
			strictest.Limits = append(strictest.Limits, &l.Rule)
		}
	}
	return strictest
}

// undecided is the verdict where no line fits.
func undecided(r *Request) Verdict {
	if r.Mint {
		return Verdict{Effect: Deny, Reason: noMintLine}
	}
	return Verdict{Effect: Allow, Reason: noLine}
}

func decide(lines []*line, v *view) Verdict {
	for _, l := range lines {
		if !l.fits(v) {
			continue
		}
		if v.request.Mint && !l.Mint && l.Effect != Deny {
			return Verdict{Effect: Deny, Rule: &l.Rule, Reason: l.reason + " is not about requests that make a new credential (--mint)"}
		}
		return Verdict{Effect: l.Effect, Rule: &l.Rule, Reason: l.reason}
	}
	return undecided(v.request)
}

// Fitting are all lines that fit a request in some reading, in the order in
// which they would decide, and then the limits.
func (s *Set) Fitting(r *Request) []Rule {
	var found []Rule
	list := s.at(r.Profile, r.Provider)
	for _, l := range slices.Concat(list.decide, list.limit) {
		if l.fitsAny(r) {
			found = append(found, l.Rule)
		}
	}
	return found
}

// Connect decides on a connection that nobody reads: of the lines about the
// profile only those whose one condition is the host can be held against it.
func (s *Set) Connect(profile, host string, port uint16) Verdict {
	if s != nil && s.closed != "" {
		return Verdict{Effect: Deny, Reason: s.closed}
	}
	for _, l := range s.at(profile, "").decide {
		if l.Host != "" && l.conditions() == 1 && l.host.match(host, port) {
			return Verdict{Effect: l.Effect, Rule: &l.Rule, Reason: l.reason}
		}
	}
	return Verdict{Effect: Allow, Reason: noLine}
}

// view is a request in one reading, under one method, as one kind of git's.
type view struct {
	request *Request
	method  string
	reading *Reading
	git     string
}

// views is how many views a request has at most, and view the i-th; ok is
// false where there is none.
func (r *Request) views() int { return 2 * len(r.Readings) * len(r.Methods) }

func (r *Request) view(i int) (v view, ok bool) {
	second := i%2 == 1
	i /= 2
	v = view{request: r, method: r.Methods[i%len(r.Methods)], reading: &r.Readings[i/len(r.Methods)]}
	switch git := v.reading.Git; {
	case git == 0:
		return v, !second
	case second:
		v.git = GitWrite
		return v, git&Writes != 0
	default:
		v.git = GitRead
		return v, git&Reads != 0
	}
}

func (l *line) fitsAny(r *Request) bool {
	for i := range r.views() {
		if v, ok := r.view(i); ok && l.fits(&v) {
			return true
		}
	}
	return false
}

// fits reports whether all conditions hold. A line that restricts is lenient
// as some servers are.
func (l *line) fits(v *view) bool {
	r, restricts := v.request, l.Effect != Allow
	switch {
	case l.Provider != "" && l.Provider != r.Provider,
		l.Mint && !r.Mint,
		l.Git != "" && l.Git != v.git,
		l.Host != "" && !l.host.match(r.Host, r.Port):
		return false
	case len(l.Methods) > 0 && !slices.ContainsFunc(l.Methods, func(m string) bool {
		return m == v.method || restricts && strings.EqualFold(m, v.method)
	}):
		return false
	case l.path != nil && !l.path.Match(v.reading.Path, v.reading.Decoded, restricts):
		return false
	case l.Repository != "" && (v.reading.Repository == "" || !l.grammar.MatchRepository(l.Repository, v.reading.Repository)):
		return false
	}
	return true
}
