package broker

import (
	"context"
	"net/http"

	"kb/internal/audit"
	"kb/proxy"
)

// Actions of an audit line.
const (
	actionInject = "inject" // a credential went on the request
	actionPass   = "pass"   // the request went without one
	actionTunnel = "tunnel" // the connection was not read
	actionMint   = "mint"   // a request for a new credential, refused
	actionDeny   = audit.ActionDeny
)

// Route implements [proxy.Policy]: a connection is opened only where a granted
// login has a rule for its host.
func (s *Session) Route(_ context.Context, c proxy.ConnectInfo) proxy.Route {
	snap := s.snapshot.Load()
	if len(snap.at(c.Host, c.Port)) > 0 {
		return proxy.Route{Action: proxy.Intercept, Reason: "a login of this session has a rule for the host", Private: snap.private(c.Host, c.Port)}
	}
	if p := snap.profiles[s.own]; p.Egress == "listed" {
		refusal := refuseEgress(snap.names.show(s.own), c.Host)
		s.denied.Add(1)
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
	injection, sent, refusal := s.authorize(ctx, r, &event)
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
	if event.Action == actionInject {
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

// methodOverrides are fields by which web frameworks let a client name another
// method than the request line does.
var methodOverrides = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// authorize decides one request and fills in the event that tells of it.
func (s *Session) authorize(ctx context.Context, r *proxy.RequestInfo, event *audit.Event) (proxy.Injection, *sent, *proxy.Refusal) {
	none := proxy.Injection{Pool: s.own}
	event.Action = actionPass
	if r.Scheme != "https" {
		event.Reason = "plain http never carries a credential"
		return none, nil, nil
	}
	path, err := proxy.NormalPath(r.Path)
	if err != nil {
		return none, nil, refusePath()
	}
	snap := s.snapshot.Load()
	found := snap.at(r.Host, r.Port)
	methods := []string{r.Method}
	for _, name := range methodOverrides {
		methods = append(methods, r.Header.Values(name)...)
	}
	for _, c := range found {
		if c.definition == nil {
			continue
		}
		event.Path = c.definition.RedactPath(event.Path)
		for _, method := range methods {
			_, mints := c.definition.MintFor(r.Host, r.Port, method, path)
			if !mints && !c.asksForTokens(r.Host, r.Port, path) {
				continue
			}
			event.Action, event.Provider = actionMint, c.login.Provider
			if local := s.answersItself(found, r, path, *event); local != nil {
				event.Reason = "the token endpoint of a login: kb answers by itself"
				return proxy.Injection{Pool: s.own, Local: local}, nil, nil
			}
			return none, nil, refuseMint(snap.names.show(s.own), c.login.Provider)
		}
	}
	services := servicesOf(found, r.Host, r.Port, path)
	if len(services) == 0 {
		event.Reason = "no rule has the path"
		return none, nil, nil
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
	if _, ok := c.rules.Match(r.Host, r.Port, path); !ok {
		event.Reason = "the login's method has no rule for the path"
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
	event.Action = actionInject
	injection := now.injections[credential]
	injection.Path = path // the bytes that were judged
	return injection, &sent{c, now}, nil
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
