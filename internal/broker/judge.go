package broker

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"kb/internal/audit"
	"kb/internal/control"
	"kb/internal/plain"
	"kb/internal/policy"
	"kb/profile"
	"kb/providers"
	"kb/proxy"
)

// grammar is how policy lines write paths and repositories: as definitions
// and rules do.
var grammar = policy.Grammar{
	Path:            func(pattern string) (policy.PathPattern, error) { return providers.ParsePath(pattern) },
	CheckRepository: profile.CheckRemotePattern,
	MatchRepository: profile.MatchRemote,
}

// asking is what one request has gone through with policy so far. It outlives
// a wait, after which everything is decided anew.
type asking struct {
	approved []likeness // by a person, for this request
	words    string     // how, for the audit
	counted  []string   // keys of the limits that it was counted against
	deadline time.Time  // of the first wait, and of all together

	// What the request has to wait for; like is of no use while pending is nil.
	pending *control.Request
	like    likeness
}

// methodOverrides are fields by which web frameworks let a client name another
// method than the request line does, and overrideParameters the query parameters
// of that kind: Rails and Laravel read the first, Salesforce the second. Case
// does not matter.
var (
	methodOverrides    = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}
	overrideParameters = [...]string{"_method", "_HttpMethod"}
)

// maxMethods is how many methods a request may name: its own, and some in fields
// and parameters. Honest ones name one besides; more cost time to judge, and
// nobody reads a list of them to its end.
const maxMethods = 8

// methodsOf are the methods that a server may take a request to have, each once.
func methodsOf(r *proxy.RequestInfo) []string {
	methods := []string{r.Method}
	add := func(m string) {
		if len(methods) <= maxMethods && !slices.Contains(methods, m) {
			methods = append(methods, m)
		}
	}
	for _, name := range methodOverrides {
		for _, m := range r.Header.LenientValues(name) {
			add(m)
		}
	}
	for pair := range strings.FieldsFuncSeq(r.Query, func(c rune) bool { return c == '&' || c == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		key, err := url.QueryUnescape(key)
		if err != nil || !slices.ContainsFunc(overrideParameters[:], func(name string) bool { return strings.EqualFold(name, key) }) {
			continue
		}
		if value, err := url.QueryUnescape(value); err == nil {
			add(value)
		}
	}
	return methods
}

// pathOverrides are fields by which some servers let a client name another path
// than the request line does: IIS, and what was made to stand behind it (Symfony,
// Zend). A server's own front writes them, and no client of its API.
var pathOverrides = [...]string{"X-Original-Url", "X-Rewrite-Url"}

// namesAnotherPath reports whether a server may take a request to have another path.
func namesAnotherPath(r *proxy.RequestInfo) bool {
	return slices.ContainsFunc(pathOverrides[:], func(name string) bool { return len(r.Header.LenientValues(name)) > 0 })
}

// methodWords are methods for a person: what is in none (RFC 9110 §5.6.2) is
// marked, so that blanks make no lines of their own, and so is what no method is
// as long as.
func methodWords(methods []string) string {
	const longest = 24 // VERSION-CONTROL has 15
	words := make([]string, len(methods))
	for i, m := range methods {
		cut := len(m) > longest
		if cut {
			m = m[:longest]
		}
		words[i] = strings.Map(func(c rune) rune {
			if c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) {
				return plain.Mark
			}
			return c
		}, m)
		if cut {
			words[i] += "…"
		}
	}
	return strings.Join(words, ", ")
}

// question is a request as policy is asked about it.
type question struct {
	profile, provider string
	login             *credentials // nil where none goes with it
	rule              *providers.Inject
	path              string
	shown             string // path as a person is shown it: secret segments as "*"
	repository        string
	methods           []string
	mint              bool
}

// request is the question in policy's terms, in every reading that a server
// may have of it.
func (q *question) request(host string, port uint16, query string) *policy.Request {
	r := &policy.Request{
		Profile: q.profile, Provider: q.provider, Methods: q.methods, Host: host, Port: port, Mint: q.mint,
	}
	var kinds policy.Kinds
	reads, writes := providers.GitRequest(q.methods, q.path, query)
	if reads {
		kinds |= policy.Reads
	}
	if writes {
		kinds |= policy.Writes
	}
	r.Readings = []policy.Reading{{Path: q.path, Repository: q.repository, Git: kinds}}
	decoded, repository := providers.DecodedPath(q.path), q.repository
	if q.rule != nil {
		if lenient := lenientRepository(q.rule, q.path); lenient != "" {
			repository = lenient
		}
	}
	if decoded != q.path || repository != q.repository {
		r.Readings = append(r.Readings, policy.Reading{Path: decoded, Decoded: true, Repository: repository, Git: kinds})
	}
	return r
}

// judge asks policy about a request, for which everything but the credential
// is known. It returns a refusal, or nil; asked.pending then says that the
// request has to wait for a person first.
func (s *Session) judge(snap *snapshot, r *proxy.RequestInfo, q *question, event *audit.Event, asked *asking) *proxy.Refusal {
	if !snap.policy.Speaks(q.profile) && !q.mint {
		return nil
	}
	shown := snap.names.show(q.profile)
	request := q.request(r.Host, r.Port, r.Query)
	verdict := snap.policy.Decide(request)
	switch {
	case verdict.Effect == policy.Deny && q.mint && verdict.Rule == nil:
		return refuseMint(shown, q.provider)
	case verdict.Effect == policy.Deny:
		return refusePolicy(shown, q.provider, verdict, q.mint)
	}
	if verdict.Rule != nil {
		event.Reason += "; " + verdict.Reason
	}
	if verdict.Effect == policy.Ask {
		like := likeness{
			line: verdict.Rule.ID, words: verdict.Rule.String(), profile: q.profile, provider: q.provider,
			method: strings.Join(q.methods, ", "), host: r.Host, port: r.Port, git: gitWord(request.Readings[0].Git), mint: q.mint,
			websocket: r.Websocket,
		}
		if q.login != nil {
			like.as, like.account = q.login.login.As, q.login.login.Account
		}
		yes, said := s.approvals.remembered(like)
		switch {
		case slices.Contains(asked.approved, like):
			event.Reason += "; " + asked.words
		case said && yes:
			event.Reason += "; a person approved such requests for this session"
		case said:
			return refuseDenied(shown, q.provider, verdict.Rule, "a person denied such requests for this session")
		case len(q.shown) > control.MaxText:
			return refuseLong(shown, q.provider, verdict.Rule)
		default:
			asked.like, asked.pending = like, s.describe(shown, r, q, &like)
		}
	}
	uncounted := slices.DeleteFunc(verdict.Limits, func(l *policy.Rule) bool { return slices.Contains(asked.counted, limitKey(l)) })
	if line, wait := s.limits.take(uncounted, s.broker.now()); line != nil {
		asked.pending = nil
		return refuseLimit(shown, q.provider, line, wait)
	}
	for _, line := range uncounted {
		asked.counted = append(asked.counted, limitKey(line))
	}
	return nil
}

// limitKey is what a line's requests are counted under: an edited line counts anew.
func limitKey(line *policy.Rule) string { return line.Profile + " " + line.ID + " " + line.String() }

func gitWord(k policy.Kinds) string {
	switch {
	case k&policy.Writes != 0:
		return policy.GitWrite
	case k != 0:
		return policy.GitRead
	}
	return ""
}

// maxMediaType is as long as a media type can be registered (RFC 6838 §4.2).
const maxMediaType = 127 + 1 + 127

// describe is a request for the person who is asked about it. Of its body there
// is the size and the type. The path is the one that is sent, and not what the
// client wrote: that can be dressed up until nobody reads it ("%64elete").
func (s *Session) describe(shown string, r *proxy.RequestInfo, q *question, like *likeness) *control.Request {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind = strings.TrimSpace(kind); len(kind) > maxMediaType || strings.ContainsFunc(kind, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		kind = "no media type"
	}
	clean := func(text string) string {
		if len(text) > audit.MaxField {
			text = text[:audit.MaxField]
		}
		return plain.Clean(text)
	}
	d := &control.Request{
		Session: s.ID, Profile: shown, Provider: q.provider, Method: methodWords(q.methods), Host: r.Host, Port: r.Port,
		Path: clean(q.shown), Repository: clean(q.repository), Git: like.git, Mint: q.mint, Websocket: like.websocket,
		Policy: like.line, Rule: like.words,
		Agent: clean(s.agent), Dir: clean(s.workspace.Dir), Body: r.Length, Type: clean(kind),
	}
	if q.login != nil {
		if d.Login = clean(like.account); d.Login == "" {
			d.Login = like.as
		}
	}
	return d
}

// ask has a request wait for a person. It returns a refusal, or nil when the
// request may go on, which is to be decided again: what the session knows may
// be other than it was.
func (s *Session) ask(ctx context.Context, event audit.Event, asked *asking) *proxy.Refusal {
	pending, like := *asked.pending, asked.like
	asked.pending = nil
	if asked.deadline.IsZero() {
		asked.deadline = s.broker.now().Add(holdTime)
	}
	event.Phase, event.Action = audit.PhaseAsk, actionAsk
	h, full, err := s.approvals.hold(pending, like, asked.deadline, func(r control.Request) error {
		event.Detail = "waits as " + r.ID
		return s.log.Append(event)
	})
	line := &policy.Rule{ID: like.line}
	switch {
	case err != nil:
		return refuseAudit()
	case full:
		return refuseFull(pending.Profile, pending.Provider)
	}
	switch s.approvals.wait(ctx, s.life, h) {
	case answeredOnce:
		asked.words = "a person approved it"
	case answeredSession:
		asked.words = "a person approved it and its like for this session"
	case answeredDeny:
		return refuseDenied(pending.Profile, pending.Provider, line, "a person denied it")
	case answeredDenySession:
		return refuseDenied(pending.Profile, pending.Provider, line, "a person denied it and its like for this session")
	case unanswered:
		return refuseUnanswered(pending.Profile, pending.Provider, line)
	case abandoned:
		return refuseAbandoned(pending.Profile, pending.Provider)
	}
	asked.approved = append(asked.approved, like)
	return nil
}

// limits count the requests of a session against the lines that limit them.
type limits struct {
	mu     sync.Mutex
	meters map[string]*policy.Meter // by limitKey
}

// take counts a request against every line, if all have room. If one has not,
// it is returned, with how long that takes.
func (l *limits) take(lines []*policy.Rule, now time.Time) (full *policy.Rule, wait time.Duration) {
	if len(lines) == 0 {
		return nil, 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.meters == nil {
		l.meters = map[string]*policy.Meter{}
	}
	meters := make([]*policy.Meter, len(lines))
	for i, line := range lines {
		key := limitKey(line)
		if l.meters[key] == nil {
			l.meters[key] = new(policy.Meter)
		}
		meters[i] = l.meters[key]
		if wait := meters[i].Full(now, line.PerMinute); wait > 0 {
			return line, wait
		}
	}
	for _, m := range meters {
		m.Count(now)
	}
	return nil, 0
}

// judgeBare asks policy about a request that goes without a credential to a
// host that the session's logins have rules for, for each of those providers.
func (s *Session) judgeBare(snap *snapshot, r *proxy.RequestInfo, found []*credentials, q question, event *audit.Event, asked *asking) *proxy.Refusal {
	if !snap.policy.Speaks(s.own) && !q.mint {
		return nil
	}
	q.profile = s.own
	names := []string{q.provider}
	if q.provider == "" {
		names = nil
		for _, c := range found {
			if !slices.Contains(names, c.login.Provider) {
				names = append(names, c.login.Provider)
			}
		}
	}
	if len(names) == 0 {
		names = []string{""} // lines that name no provider hold all the same
	}
	for _, name := range names {
		q.provider = name
		if refusal := s.judge(snap, r, &q, event, asked); refusal != nil || asked.pending != nil {
			return refusal
		}
	}
	return nil
}

// judgePlain asks policy about a request over plain http, which never carries a
// credential.
func (s *Session) judgePlain(snap *snapshot, r *proxy.RequestInfo, event *audit.Event, asked *asking) *proxy.Refusal {
	if !snap.policy.Speaks(s.own) {
		return nil
	}
	path, err := proxy.NormalPath(r.Path)
	if err != nil {
		return refusePath()
	}
	methods := methodsOf(r)
	if len(methods) > maxMethods {
		return refuseMethods()
	}
	return s.judgeBare(snap, r, nil, question{path: path, shown: path, methods: methods}, event, asked)
}
