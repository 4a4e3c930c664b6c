package broker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"kb/internal/oauth"
	"kb/internal/state"
	"kb/providers"
	"kb/vaultfile"
)

const (
	// orphanPatience is how long tokens without a login are kept to be revoked.
	// Access tokens have ended by then; a server that does not answer for two
	// weeks is not coming back.
	orphanPatience = 14 * 24 * time.Hour
	// orphanPause is between two tries.
	orphanPause = 10 * time.Minute
	// orphanLock: whoever holds the lock of such a login is about to make it
	// one again.
	orphanLock = 2 * time.Second
)

// orphanReason marks tokens whose login was removed.
const orphanReason = "the login was removed; its tokens are to be revoked"

// Upkeep does what has waited for this device: it revokes the tokens of logins
// that another device removed. It does nothing, quickly, where there is nothing
// to do; notes say what it did.
func (b *Broker) Upkeep(ctx context.Context) (notes []string) {
	keys, err := b.store.Tokens()
	if err != nil {
		return []string{"the tokens of this device cannot be read: " + err.Error()}
	}
	for _, k := range keys {
		if v := b.orphanIn(k); v != nil && ctx.Err() == nil {
			if note := b.endOrphan(ctx, v, k); note != "" {
				notes = append(notes, note)
			}
		}
	}
	return notes
}

// orphanIn is the vault whose login the tokens were of, if that is open and has
// no login that they could be of.
func (b *Broker) orphanIn(k state.LoginKey) *vault {
	v, err := b.vault(k.Vault)
	if err != nil {
		return nil // a vault that this device has forgotten may be added again
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if v.file == nil || v.err != nil || v.catalog == nil {
		return nil
	}
	for _, l := range v.contents.Logins {
		if l.Profile != k.Profile || l.Provider != k.Provider || l.As != k.As {
			continue
		}
		definition, err := v.catalog.Get(l.Provider)
		if err != nil {
			return nil
		}
		if m, ok := definition.Login.Method(l.Method); !ok || m.Flow != providers.FlowPaste {
			return nil
		}
		return v // a key was pasted in its place
	}
	return v
}

// endOrphan revokes and deletes tokens without a login. They are not lost
// before their revocation was tried, for orphanPatience if need be.
func (b *Broker) endOrphan(ctx context.Context, v *vault, k state.LoginKey) string {
	locking, cancel := context.WithTimeout(ctx, orphanLock)
	defer cancel()
	lock, err := b.store.LockToken(locking, k)
	if err != nil {
		return ""
	}
	defer func() { _ = lock.Unlock() }()
	// With the lock held nobody is making the login; the file says whether
	// somebody has.
	if err := b.read(ctx, v); err != nil || b.orphanIn(k) != v {
		return ""
	}
	token, ok, err := b.store.Token(k)
	if err != nil || !ok {
		return ""
	}
	now := b.now().Round(0)
	known := token.Reason == orphanReason
	if known && now.Before(token.Retry) && token.Retry.Sub(now) <= orphanPause {
		return ""
	}
	name := fmt.Sprintf("the login of %s at %s was removed", b.Show(b.full(v, k.Profile)), k.Provider)
	server, client := b.orphanServer(v, k, token)
	if server.Revocation == "" || token.Access.IsZero() && token.Refresh.IsZero() {
		return b.forget(k, name+": this device's tokens are deleted")
	}
	revoking, stop := context.WithTimeout(ctx, revokePatience)
	defer stop()
	err = b.oauth().Revoke(revoking, server, client, oauth.Tokens{Access: token.Access, Refresh: token.Refresh})
	switch {
	case err == nil:
		return b.forget(k, name+": this device's tokens are revoked and deleted")
	case known && now.Sub(token.Since) > orphanPatience:
		return b.forget(k, fmt.Sprintf("%s: this device's tokens are deleted; they could not be revoked: %v", name, err))
	}
	if !known {
		token.State, token.Since, token.Reason = StateNeedsLogin, now, orphanReason
	}
	token.Retry = now.Add(orphanPause)
	_ = b.store.PutToken(ctx, k, token) // what is not kept is learned again
	if known {
		return ""
	}
	return fmt.Sprintf("%s: this device's tokens could not be revoked yet, and kb tries again: %v", name, err)
}

func (b *Broker) forget(k state.LoginKey, note string) string {
	if err := b.store.DeleteToken(k); err != nil {
		return "tokens without a login cannot be deleted: " + err.Error()
	}
	return note
}

// orphanServer is where tokens without a login are revoked, and by which
// client: as they say themselves, else as the definition has it.
func (b *Broker) orphanServer(v *vault, k state.LoginKey, token state.Token) (oauth.Server, oauth.Client) {
	server, full := storedServer(token), b.full(v, k.Profile)
	at := vaultfile.Login{Profile: full, Provider: k.Provider, As: k.As, Client: token.Client}
	m := &providers.Method{Client: providers.ClientBuild}
	if definition, err := b.catalogOf(full).Get(k.Provider); err == nil {
		if i := slices.IndexFunc(definition.Login.Methods(), func(m *providers.Method) bool { return m.Flow == providers.FlowOAuth }); i >= 0 {
			m = definition.Login.Methods()[i]
		}
		if server.Token == "" && !definition.NeedsBase() && v == b.primary { // else it may be another since
			server = serverOf(m.Server)
		}
	}
	client, _ := b.clientOf(at, m) // none: the server says whether it can do without
	return server, client
}
