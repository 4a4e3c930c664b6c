package broker

import (
	"context"
	"errors"
	"sync"

	"kb/vaultfile"
)

// RefreshResult is what came of refreshing one login.
type RefreshResult struct {
	LoginState       // as it is now
	Err        error // nil: it has a new token
}

// ErrNothingToRefresh says that no login of those meant has tokens that end.
var ErrNothingToRefresh = errors.New("refresh: no such login has tokens that expire")

// RefreshLogins gets new tokens now, due or not: for the login at a provider
// under a name, for all logins of a profile where provider is empty, for those
// of every profile where full is empty too. Logins that do not expire are left
// out. Several are refreshed at once.
func (b *Broker) RefreshLogins(ctx context.Context, full, provider, as string) ([]RefreshResult, error) {
	if full != "" {
		if _, _, err := b.home(full); err != nil {
			return nil, err
		}
	}
	var logins []vaultfile.Login
	for _, l := range b.All().Logins {
		if full != "" && l.Profile != full || provider != "" && (l.Provider != provider || l.As != as) {
			continue
		}
		if c := b.join(l, pretend); c.problem == "" && c.flows() {
			logins = append(logins, l)
		}
	}
	if len(logins) == 0 {
		if full != "" && provider != "" {
			if _, err := b.loginOf(full, provider, as); err != nil {
				return nil, err
			}
		}
		return nil, ErrNothingToRefresh
	}
	results := make([]RefreshResult, len(logins))
	var all sync.WaitGroup
	for i, l := range logins {
		all.Go(func() {
			if results[i].Err = b.canHold(b.join(l, pretend)); results[i].Err == nil {
				_, results[i].Err = b.tokens.Now(ctx, b.upkept(l))
			}
			if now, err := b.loginOf(l.Profile, l.Provider, l.As); err == nil {
				l = now
			}
			results[i].LoginState = b.stateOf(l)
		})
	}
	all.Wait()
	return results, ctx.Err()
}
