package broker

import (
	"context"
	"net/http"

	"kb/internal/audit"
	"kb/internal/policy"
	"kb/proxy"
)

// Actions of an audit line.
const (
	actionInject = "inject" // a credential went on the request
	actionPass   = "pass"   // the request went without one
	actionTunnel = "tunnel" // the connection was not read
	actionMint   = "mint"   // a request for a new credential
	actionAsk    = "ask"    // the request waits for a person
	actionDeny   = audit.ActionDeny
)

// Route implements [proxy.Policy]: a connection is opened only where a granted
// login has a rule for its host.
func (s *Session) Route(_ context.Context, c proxy.ConnectInfo) proxy.Route {
	snap := s.snapshot.Load()
	if len(snap.at(c.Host, c.Port)) > 0 {
		return proxy.Route{Action: proxy.Intercept, Reason: "a login of this session has a rule for the host", Private: snap.private(c.Host, c.Port)}
	}
	if v := snap.policy.Connect(s.own, c.Host, c.Port); v.Effect != policy.Allow {
		refusal := refuseConnection(snap.names.show(s.own), v)
		return proxy.Route{Action: proxy.Deny, Reason: refusal.Message, Refusal: refusal}
	}
	if p := snap.profiles[s.own]; p.Egress == "listed" {
		refusal := refuseEgress(snap.names.show(s.own), c.Host)
		return proxy.Route{Action: proxy.Deny, Reason: refusal.Message, Refusal: refusal}
	}
	request := s.requests.Add(1)
	event := audit.Event{
		Phase: audit.PhaseTunnel, Request: request, Profile: s.own, Action: actionTunnel,
		Reason: "no login of this session has a rule for the host", Method: http.MethodConnect, Host: c.Host, Port: c.Port,
	}
	if err := s.log.Append(event); err != nil {
		refusal := refuseAudit()
		return proxy.Route{Action: proxy.Deny, Reason: refusal.Message, Refusal: refusal}
	}
	return proxy.Route{Action: proxy.Tunnel, Reason: event.Reason, Close: s.outcome(event)}
}

// Authorize implements [proxy.Policy].
func (s *Session) Authorize(ctx context.Context, r *proxy.RequestInfo) (*proxy.Injection, error) {
	event := audit.Event{
		Phase: audit.PhaseIntent, Request: s.requests.Add(1), Profile: s.own,
		Method: r.Method, Host: r.Host, Port: r.Port, Path: r.Path,
	}
	began := event
	var asked asking
	injection, sent, refusal := s.authorize(ctx, r, &event, &asked)
	for refusal == nil && asked.pending != nil {
		if refusal = s.ask(ctx, event, &asked); refusal == nil {
			event = began
			injection, sent, refusal = s.authorize(ctx, r, &event, &asked)
		}
	}
	if refusal != nil {
		s.denied.Add(1)
		event.Phase = audit.PhaseRefused
		event.Reason, event.Status = refusal.Message, refusal.Status
		if event.Action != actionMint {
			event.Action = actionDeny
		}
		event.Error = refusal.Code
		if err := s.log.Append(event); err != nil {
			return nil, refuseAudit()
		}
		return nil, refusal
	}
	if err := s.log.Append(event); err != nil {
		return nil, refuseAudit()
	}
	injection.Done = s.outcome(event)
	if sent != nil {
		s.injected.Add(1)
	}
	if sent != nil && sent.login.canRenew() {
		injection.Rejected = s.rejected(sent, target{r.Host, r.Port, injection.Path}, event)
	}
	return &injection, nil
}

// sent is the credential that goes on a request.
type sent struct {
	login *credentials
	bound *bound
}

// authorize decides one request and fills in the event that tells of it. What
// asked says to be pending is to be waited for, and then everything decided
// again.
func (s *Session) authorize(ctx context.Context, r *proxy.RequestInfo, event *audit.Event, asked *asking) (proxy.Injection, *sent, *proxy.Refusal) {
	none := proxy.Injection{Pool: s.own}
	snap := s.snapshot.Load()
	event.Action = actionPass
	if r.Scheme != "https" {
		event.Reason = "plain http never carries a credential"
		return none, nil, s.judgePlain(snap, r, event, asked)
	}
	path, err := proxy.NormalPath(r.Path)
	if err != nil || namesAnotherPath(r) {
		return none, nil, refusePath()
	}
	found := snap.at(r.Host, r.Port)
	methods := methodsOf(r)
	if len(methods) > maxMethods {
		return none, nil, refuseMethods()
	}
	visible := path // to a person who is asked
	for _, c := range found {
		if c.definition != nil {
			event.Path, visible = c.definition.RedactPath(event.Path), c.definition.RedactPath(visible)
		}
	}
	minting := mintedAt(found, r, methods, path)
	if minting != nil {
		event.Action, event.Provider = actionMint, minting.login.Provider
		if local := s.answersItself(found, r, path, *event); local != nil {
			event.Reason = "the token endpoint of a login: kb answers by itself"
			return proxy.Injection{Pool: s.own, Local: local}, nil, nil
		}
		if !snap.mayMint() {
			return none, nil, refuseMint(snap.names.show(s.own), minting.login.Provider)
		}
	}
	services := servicesOf(found, r.Host, r.Port, path)
	if len(services) == 0 {
		event.Reason = "no rule has the path"
		bare := question{provider: event.Provider, path: path, shown: visible, methods: methods, mint: minting != nil}
		return none, nil, s.judgeBare(snap, r, found, bare, event, asked)
	}
	event.Provider = services[0].provider
	choice, refusal := s.choose(snap, r, services)
	if refusal != nil {
		refusal.Provider = event.Provider
		return none, nil, refusal
	}
	provider, shown := choice.service.provider, snap.names.show(choice.profile)
	event.Provider, event.Profile, event.Reason = provider, choice.profile, choice.why
	c := pick(found, choice.profile, provider, choice.as)
	if c == nil || c.problem == problemRemoved {
		return none, nil, refuseNoLogin(shown, provider, choice.as)
	}
	event.Login = c.login.As
	if want := snap.profiles[choice.profile].Expect[provider]; want != "" && want != c.login.Account {
		return none, nil, refuseAccount(shown, provider, want, c.login.Account)
	}
	if c.problem != "" && !c.unresolved {
		event.Detail = c.problem
		return none, nil, refuseBroken(shown, provider, choice.as)
	}
	q := question{
		profile: choice.profile, provider: provider, login: c, path: path, shown: visible,
		repository: choice.service.repository, methods: methods, mint: minting != nil,
	}
	meant, ok := c.rules.Match(r.Host, r.Port, path)
	if ok {
		q.rule = meant.Inject
	} else {
		event.Reason = "the login's method has no rule for the path"
	}
	if refusal := s.judge(snap, r, &q, event, asked); refusal != nil || asked.pending != nil {
		return none, nil, refusal
	}
	if !ok {
		return proxy.Injection{Pool: choice.profile}, nil, nil
	}
	now, err := s.broker.usable(ctx, c)
	if err != nil {
		event.Detail = err.Error()
		return none, nil, refuseUnusable(shown, c, err)
	}
	credential, ok := now.compiled.Match(r.Host, r.Port, path)
	if !ok {
		return none, nil, refuseBroken(shown, provider, choice.as)
	}
	// A repository of another profile that a lenient server would find in the
	// path is not left to chance.
	if lenient := lenientRepository(credential.Inject, path); lenient != "" && lenient != choice.service.repository {
		if owner, _, err := snap.repositoryOwner(lenient); err != nil || owner != "" && owner != choice.profile {
			return none, nil, refusePath()
		}
	}
	if minting == nil {
		event.Action = actionInject
	}
	injection := now.injections[credential]
	injection.Path = path // the bytes that were judged
	return injection, &sent{c, now}, nil
}

// mintedAt is the login at whose service a request makes a new credential, nil
// if it does not.
func mintedAt(found []*credentials, r *proxy.RequestInfo, methods []string, path string) *credentials {
	for _, c := range found {
		if c.definition == nil {
			continue
		}
		for _, method := range methods {
			if _, mints := c.definition.MintFor(r.Host, r.Port, method, path); mints || c.asksForTokens(r.Host, r.Port, path) {
				return c
			}
		}
	}
	return nil
}

// outcome returns the function that writes the second line of a request.
func (s *Session) outcome(event audit.Event) func(proxy.Outcome) {
	return func(o proxy.Outcome) {
		event.Phase = audit.PhaseOutcome
		event.Reason, event.Detail = "", ""
		event.Status, event.Sent, event.Received = o.Status, o.Sent, o.Received
		event.Millis = float64(o.Elapsed.Microseconds()) / 1000
		event.Error = o.Err
		// A failed write is sticky in the log: the next request is refused.
		_ = s.log.Append(event)
	}
}

// Refused implements [proxy.Policy]: what the proxy refused by itself.
func (s *Session) Refused(c proxy.ConnectInfo, r *proxy.RequestInfo, why *proxy.Refusal) {
	s.denied.Add(1)
	event := audit.Event{
		Phase: audit.PhaseRefused, Request: s.requests.Add(1), Profile: s.own, Action: actionDeny,
		Reason: why.Message, Error: why.Code, Status: why.Status, Host: c.Host, Port: c.Port, Method: http.MethodConnect,
	}
	if r != nil {
		event.Method, event.Path = r.Method, r.Path
	}
	_ = s.log.Append(event)
}
