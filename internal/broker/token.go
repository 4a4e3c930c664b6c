package broker

import (
	"context"
	"fmt"

	"kb/internal/audit"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/providers"
	"kb/proxy"
	"kb/vaultfile"
)

// usable returns what goes on a login's requests now. It waits, as long as ctx
// lives, only where there is nothing that could be sent: the token is over, or
// a reference has not been resolved yet.
func (b *Broker) usable(ctx context.Context, c *credentials) (*bound, error) {
	now := c.bound.Load()
	if now != nil && (now.due.IsZero() || b.now().Before(now.due)) {
		return now, nil
	}
	if !c.flows() {
		return b.resolve(ctx, c)
	}
	c.used.Store(true)
	if err := b.canHold(c); err != nil {
		return nil, err
	}
	token, err := b.tokens.Token(ctx, b.upkept(c.login))
	if err != nil && now != nil && b.now().Before(now.expires) {
		return now, nil // it lives
	}
	if err != nil {
		return nil, err
	}
	return c.bindToken(token)
}

// OwnDeviceError says that a login cannot be used by a CI job: its tokens are
// of the device that made it, and a job cannot make its own.
type OwnDeviceError struct{ Profile, Provider string }

func (e *OwnDeviceError) Error() string {
	return fmt.Sprintf("use the login of profile %q at %s: each device makes it for itself, and a CI job cannot; give the job's profile a key, client credentials or a synced login", e.Profile, e.Provider)
}

// canHold refuses logins whose tokens this device can never have.
func (b *Broker) canHold(c *credentials) error {
	if b.ci && c.method.Renews() && c.login.Secrets[refreshField].IsZero() {
		return &OwnDeviceError{b.Show(c.key.profile), c.key.provider}
	}
	return nil
}

// bindToken makes a token what goes on the login's requests, if it is for
// those.
func (c *credentials) bindToken(token state.Token) (*bound, error) {
	if token.For != c.what {
		return nil, fmt.Errorf("use the token of %s: %w", c.key.provider, errTurnedAway)
	}
	if now := c.bound.Load(); now != nil && now.token.Equal(token.Access) {
		return now, nil
	}
	compiled, err := c.definition.Compile(c.login.Method, map[string]secret.Value{providers.TokenField: token.Access})
	if err != nil {
		return nil, err
	}
	next := c.bind(compiled)
	// Without the monotonic reading, which stands still while a laptop sleeps.
	next.token, next.expires, next.due = token.Access, token.Expires.Round(0), refresh.DueAt(&token).Round(0)
	c.bound.Store(next)
	return next, nil
}

// bindStored makes what this device holds of a login what goes on its requests:
// nothing, where it holds nothing that can be sent.
func (b *Broker) bindStored(c *credentials) {
	key := b.tokenKey(c.key)
	mark, _ := b.store.TokenMark(key)
	token, ok, err := b.store.Token(key)
	if err != nil {
		return // what is in memory goes on, and it is looked at again
	}
	c.seen = mark
	if !ok || token.Access.IsZero() || !refresh.Owns(&token, c.login.Created, c.login.Account) || token.For != c.what {
		c.bound.Store(nil)
		return
	}
	if token.Expires.IsZero() || b.now().Before(token.Expires) {
		_, _ = c.bindToken(token)
	}
}

// carry takes over what the snapshot before knew of the same logins: which
// were used. Tokens that the disk did not take are the engine's.
func (s *snapshot) carry(old *snapshot) {
	s.tokenHosts = old.tokenHosts
	for _, c := range s.logins {
		for _, was := range old.logins {
			if was.key != c.key || !was.login.Created.Equal(c.login.Created) {
				continue
			}
			c.used.Store(was.used.Load())
		}
	}
}

// resolve resolves the references of a login whose value is not there.
func (b *Broker) resolve(ctx context.Context, c *credentials) (*bound, error) {
	fields, err := fieldsOf(c.login, b.referencesWithin(ctx, c.login))
	if err != nil {
		return nil, err
	}
	return c.bindFields(fields)
}

// referencesWithin is references for those who have a context.
func (b *Broker) referencesWithin(ctx context.Context, l vaultfile.Login) func(field, ref string) (secret.Value, error) {
	return func(field, ref string) (secret.Value, error) {
		return b.refs().Resolve(ctx, ref, b.agreed(l, field, ref))
	}
}

func (c *credentials) bindFields(fields map[string]secret.Value) (*bound, error) {
	compiled, err := c.definition.Compile(c.login.Method, fields)
	if err != nil {
		return nil, err
	}
	next := c.bind(compiled)
	c.bound.Store(next)
	return next, nil
}

// renew gets something else to send in place of what the API refused; nil when
// there is nothing else.
func (s *Session) renew(ctx context.Context, c *credentials, refused *bound) *bound {
	if now := c.bound.Load(); now != nil && now != refused {
		return now // somebody else has been here
	}
	if !c.flows() {
		return s.resolveAgain(ctx, c, refused)
	}
	b := s.broker
	// Which refusals of a token are worth a refresh is decided there: an API
	// that answers 401 to everything would else cost one for each request.
	token, err := b.tokens.Rejected(ctx, b.upkept(c.login), refused.token)
	if err != nil {
		s.note(fmt.Sprintf("%s refused the token of %s, and there is no other", c.key.provider, s.show(c.key.profile)), err.Error())
		return nil
	}
	if token.Access.Equal(refused.token) {
		return nil
	}
	next, err := c.bindToken(token)
	if err != nil {
		return nil
	}
	return next
}

// resolveAgain resolves the references of a login once more, because what they
// stood for was refused: it may have been changed where it is kept.
func (s *Session) resolveAgain(ctx context.Context, c *credentials, refused *bound) *bound {
	if len(c.login.Refs) == 0 || refused.fruitless.Load() {
		return nil
	}
	c.renewing.Lock()
	defer c.renewing.Unlock()
	if now := c.bound.Load(); now != refused {
		return now
	}
	s.broker.forgetReferences(c.login)
	fields, err := fieldsOf(c.login, s.broker.referencesWithin(ctx, c.login))
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		s.note(fmt.Sprintf("%s refused the credential of %s, and its reference cannot be resolved again", c.key.provider, s.show(c.key.profile)), err.Error())
		refused.fruitless.Store(true)
		return nil
	}
	next, err := c.bindFields(fields)
	if err != nil {
		return nil
	}
	if next.same(refused) {
		refused.fruitless.Store(true)
		c.bound.Store(refused)
		return nil
	}
	return next
}

// same reports whether two put the same on requests.
func (now *bound) same(other *bound) bool {
	a, b := now.compiled.Credentials(), other.compiled.Credentials()
	if len(a) != len(b) {
		return false
	}
	equal := func(x, y []providers.Pair) bool {
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if x[i].Name != y[i].Name || !x[i].Value.Equal(y[i].Value) {
				return false
			}
		}
		return true
	}
	for i := range a {
		if !equal(a[i].Header, b[i].Header) || !equal(a[i].Query, b[i].Query) || !equal(a[i].Cookie, b[i].Cookie) {
			return false
		}
	}
	return true
}

// canRenew reports whether a refused credential of the login could have been
// replaced since.
func (c *credentials) canRenew() bool { return c.flows() || len(c.login.Refs) > 0 }

// target is what of a request its second try needs.
type target struct {
	host string
	port uint16
	path string
}

// rejected returns what the proxy asks when the API answers 401 to what it was
// sent. event is the intent of the first try; the second one's is written here.
func (s *Session) rejected(first *sent, at target, event audit.Event) func(context.Context, bool) *proxy.Injection {
	return func(ctx context.Context, again bool) *proxy.Injection {
		c := first.login
		if !again {
			s.background(func(ctx context.Context) { s.renew(ctx, c, first.bound) })
			return nil
		}
		next := s.renew(ctx, c, first.bound)
		if next == nil {
			return nil
		}
		credential, ok := next.compiled.Match(at.host, at.port, at.path)
		if !ok {
			return nil
		}
		why := "sent again with a new token"
		if !c.flows() {
			why = "sent again with the reference's new value"
		}
		s.note("refreshed: "+c.key.provider+" had answered 401", "")
		event.Request, event.Phase, event.Reason = s.requests.Add(1), audit.PhaseIntent, why+", after status 401"
		if s.log.Append(event) != nil {
			return nil
		}
		injection := next.injections[credential]
		injection.Path = at.path
		injection.Done = s.outcome(event)
		return &injection
	}
}
