package broker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sort"
	"strings"

	"kb/internal/control"
	"kb/internal/policy"
	"kb/profile"
	"kb/providers"
	"kb/proxy"
	"kb/vaultfile"
)

// PolicyLine is a line of some vault. Its Profile is a full name.
type PolicyLine struct {
	policy.Rule
	Vault string
	Words string // "ask POST at linear"
}

// Policies are the lines of every open vault, by profile, and of each in the
// order in which they decide; limits last.
func (b *Broker) Policies() []PolicyLine {
	rules := rulesOf(b.All().Policies)
	sort.SliceStable(rules, func(i, j int) bool {
		x, y := &rules[i], &rules[j]
		if x.Profile != y.Profile {
			return x.Profile < y.Profile
		}
		if (x.Effect == policy.Limit) != (y.Effect == policy.Limit) {
			return y.Effect == policy.Limit
		}
		return policy.Order(x, y, grammar) < 0
	})
	list := make([]PolicyLine, len(rules))
	for i, r := range rules {
		list[i] = PolicyLine{r, b.VaultOf(r.Profile), r.String()}
	}
	return list
}

// SamePolicyError says that a line is there already.
type SamePolicyError struct{ ID string }

func (e *SamePolicyError) Error() string {
	return fmt.Sprintf("add policy: line %s says the same", e.ID)
}

// CheckPolicy returns an *policy.InvalidError for a line that cannot be kept.
func CheckPolicy(p vaultfile.Policy) error {
	rule := ruleOf(&p)
	return rule.Check(grammar)
}

// AddPolicy adds a line to its profile's vault, which p.Profile names in full,
// and returns the id that it got.
func (b *Broker) AddPolicy(ctx context.Context, p vaultfile.Policy) (id string, err error) {
	if err := CheckPolicy(p); err != nil {
		return "", err
	}
	if p.Provider != "" {
		if _, err := b.Definition(p.Profile, p.Provider, ""); errors.Is(err, providers.ErrUnknown) {
			return "", err
		}
	}
	v, name, err := b.home(p.Profile)
	if err != nil {
		return "", err
	}
	p.Profile = name
	err = b.edit(ctx, v, func(tx *vaultfile.Tx) error {
		c, err := tx.Contents()
		if err != nil {
			return err
		}
		for _, other := range c.Policies {
			if same := ruleOf(&other); other.Profile == name && same.String() == PolicyWords(p) {
				return &SamePolicyError{other.ID}
			}
		}
		id, err = tx.PutPolicy(p)
		return err
	})
	return id, err
}

// PolicyWords is a line in words: "ask POST at linear".
func PolicyWords(p vaultfile.Policy) string {
	r := ruleOf(&p)
	return r.String()
}

// UnknownPolicyError names a line that no open vault has.
type UnknownPolicyError struct{ ID string }

func (e *UnknownPolicyError) Error() string {
	return fmt.Sprintf("find policy line %q: there is none of that id", e.ID)
}

// ErrAmbiguousPolicy says that several vaults have a line of an id.
var ErrAmbiguousPolicy = errors.New("several vaults have a policy line of that id")

// RemovePolicy removes a line by its id, or by VAULT/ID.
func (b *Broker) RemovePolicy(ctx context.Context, given string) error {
	id := given[strings.LastIndexByte(given, '/')+1:]
	var found []*vault
	b.mu.RLock()
	for _, v := range b.vaults {
		if (given == id || given == v.name+"/"+id) && slices.ContainsFunc(v.contents.Policies, func(p vaultfile.Policy) bool { return p.ID == id }) {
			found = append(found, v)
		}
	}
	b.mu.RUnlock()
	switch len(found) {
	case 0:
		return &UnknownPolicyError{given}
	case 1:
		return b.edit(ctx, found[0], func(tx *vaultfile.Tx) error { return tx.DeletePolicy(id) })
	}
	return fmt.Errorf("find policy line %q: %w: %s/%s and %s/%s", given, ErrAmbiguousPolicy, found[0].name, id, found[1].name, id)
}

// PolicyProbe is a request that nobody sends.
type PolicyProbe struct {
	Profile string // by full name
	Method  string
	URL     string
}

// PolicyTest is what would become of it.
type PolicyTest struct {
	Verdict    policy.Verdict
	Fitting    []policy.Rule // all lines that fit, in the order in which they decide, and limits
	Host       string
	Port       uint16
	Path       string // normalised
	Provider   string // whose rule has the path; "" for none
	Repository string
	Git        string // "read" or "write"
	Mint       bool
	Read       bool // a login of the profile has a rule for the host; else only lines on hosts alone count
}

// TestPolicy says what the policy of a profile makes of a request.
func (b *Broker) TestPolicy(_ context.Context, p PolicyProbe) (*PolicyTest, error) {
	fail := func(err error) (*PolicyTest, error) {
		return nil, fmt.Errorf("test policy: %w", err)
	}
	u, err := url.Parse(p.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" || u.User != nil {
		return fail(errors.New("give a whole https address without a user: https://api.github.com/user"))
	}
	host, port, err := authorityOf(u)
	if err != nil {
		return fail(err)
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if path, err = proxy.NormalPath(path); err != nil {
		return fail(err)
	}
	snap := b.newSnapshot([]string{p.Profile}, profile.Query{}, nil)
	t := &PolicyTest{Host: host, Port: port, Path: path}
	found := snap.at(host, port)
	r := &proxy.RequestInfo{Method: p.Method, Query: u.RawQuery}
	r.Host, r.Port = host, port
	methods := methodsOf(r)
	q := question{profile: p.Profile, path: path, methods: methods}
	for _, c := range found {
		if c.rules == nil {
			continue
		}
		if meant, ok := c.rules.Match(host, port, path); ok {
			q.login, q.rule, q.provider = c, meant.Inject, c.login.Provider
			q.repository, _ = meant.Inject.Remote(path)
			break
		}
	}
	if minting := mintedAt(found, r, methods, path); minting != nil {
		q.mint = true
		if q.provider == "" {
			q.provider = minting.login.Provider
		}
	}
	if q.provider == "" && len(found) > 0 {
		q.provider = found[0].login.Provider
	}
	request := q.request(host, port, u.RawQuery)
	t.Provider, t.Repository, t.Mint, t.Read = q.provider, q.repository, q.mint, len(found) > 0
	t.Git = gitWord(request.Readings[0].Git)
	if t.Read {
		t.Verdict, t.Fitting = snap.policy.Decide(request), snap.policy.Fitting(request)
		return t, nil
	}
	if t.Verdict = snap.policy.Connect(p.Profile, host, port); t.Verdict.Rule != nil {
		t.Fitting = []policy.Rule{*t.Verdict.Rule}
	}
	return t, nil
}

// errNotAlways are reasons for which a request cannot be allowed for ever by
// one line that is about it and nothing else.
var (
	errWildPath  = errors.New("its path has a *, which a line would take for any text, or a part that is secret")
	errManyWays  = errors.New("it names several methods")
	errStillAsks = errors.New("the line that asks says as much, so that it would still ask")
)

// AlwaysLine is the line that has requests like a waiting one, to that very
// path, allowed from now on. Its profile is a full name.
func (b *Broker) AlwaysLine(r control.Request) (vaultfile.Policy, error) {
	fail := func(err error) (vaultfile.Policy, error) {
		return vaultfile.Policy{}, fmt.Errorf("allow request %q always: %w", r.ID, err)
	}
	full, err := b.Find(r.Profile)
	if err != nil {
		return fail(err)
	}
	path, err := proxy.NormalPath(r.Path)
	switch {
	case err != nil:
		return fail(err)
	case strings.Contains(path, "*"):
		return fail(errWildPath)
	case strings.Contains(r.Method, ","):
		return fail(errManyWays)
	}
	host := r.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if r.Port != 443 {
		host = fmt.Sprintf("%s:%d", host, r.Port)
	}
	line := policy.Rule{
		Profile: full, Effect: policy.Allow, Provider: r.Provider, Methods: []string{r.Method}, Host: host, Path: path,
		Repository: literalRemote(r.Repository), Git: r.Git, Mint: r.Mint,
	}
	if err := line.Check(grammar); err != nil {
		return fail(err)
	}
	// It must win over every line that restricts and would fit, or it is a
	// promise that is not kept.
	rules := append(rulesOf(b.All().Policies), line)
	set, err := policy.Compile(rules, grammar)
	if err != nil {
		return fail(err)
	}
	decoded := policy.Reading{Path: path, Repository: r.Repository, Git: kindOf(r.Git)}
	verdict := set.Decide(&policy.Request{
		Profile: full, Provider: r.Provider, Methods: []string{r.Method}, Host: r.Host, Port: r.Port, Mint: r.Mint,
		Readings: []policy.Reading{decoded},
	})
	if verdict.Effect != policy.Allow {
		return fail(fmt.Errorf("%w: %s", errStillAsks, verdict.Reason))
	}
	return lineOf(&line), nil
}

// literalRemote is a repository as a pattern that fits it alone.
func literalRemote(repository string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`, "{", `\{`).Replace(repository)
}

func kindOf(git string) policy.Kinds {
	switch git {
	case policy.GitRead:
		return policy.Reads
	case policy.GitWrite:
		return policy.Writes
	}
	return 0
}

// AllowAlways writes that line into the profile's vault, and returns it.
func (b *Broker) AllowAlways(ctx context.Context, r control.Request) (vaultfile.Policy, error) {
	line, err := b.AlwaysLine(r)
	if err != nil {
		return vaultfile.Policy{}, err
	}
	id, err := b.AddPolicy(ctx, line)
	var same *SamePolicyError
	if errors.As(err, &same) {
		id, err = same.ID, nil // somebody said so before
	}
	line.ID = id
	return line, err
}
