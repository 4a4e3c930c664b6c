package broker

import (
	"context"
	"encoding/json"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/vaultfile"
)

// pendingLogin is a device code that was not waited for, as the state keeps it.
type pendingLogin struct {
	Code     string        `json:"code"`
	User     string        `json:"user"`
	URL      string        `json:"url"`
	Complete string        `json:"complete,omitempty"`
	Expires  time.Time     `json:"expires"`
	Interval time.Duration `json:"interval"`
	Method   string        `json:"method"`
	Base     string        `json:"base,omitempty"`
	Client   string        `json:"client"` // the id that the code belongs to
	For      string        `json:"for"`    // what the login's tokens will be
}

// keepPending keeps a device code, and the client that it belongs to.
func (g *granting) keepPending(ctx context.Context, d *oauth.Device) error {
	p := d.Pending()
	text, err := json.Marshal(pendingLogin{
		Code: p.Code.Reveal(), User: p.UserCode, URL: p.VerificationURI, Complete: p.VerificationURIComplete,
		Expires: p.Expires.Round(0), Interval: p.Interval, Method: g.method.Name, Base: g.login.Base, Client: g.client.ID, For: g.what,
	})
	if err != nil {
		return err
	}
	key := g.b.tokenKey(loginKey{g.full, g.login.Provider, g.login.As})
	if err := g.b.store.PutPending(ctx, key, secret.New(string(text))); err != nil || g.record == nil {
		return err
	}
	return g.b.edit(ctx, g.home, func(tx *vaultfile.Tx) error { return tx.PutClient(*g.record) })
}

// pending is the flow that an earlier call began and did not wait for; nil when
// there is none that this call means.
func (g *granting) pending() (*oauth.Device, error) {
	if g.o.Flow == FlowCode {
		return nil, nil
	}
	key := g.b.tokenKey(loginKey{g.full, g.login.Provider, g.login.As})
	text, ok, err := g.b.store.Pending(key)
	if err != nil || !ok {
		return nil, err
	}
	var p pendingLogin
	if json.Unmarshal([]byte(text.Reveal()), &p) != nil || !g.b.now().Before(p.Expires) ||
		p.Method != g.method.Name || p.Base != g.login.Base || p.Client != g.client.ID || p.For != g.what {
		return nil, g.b.store.DeletePending(key)
	}
	return g.b.oauth().ResumeDevice(g.server, g.client, oauth.DevicePending{
		Code: secret.New(p.Code), UserCode: p.User, VerificationURI: p.URL, VerificationURIComplete: p.Complete,
		Expires: p.Expires, Interval: p.Interval,
	}), nil
}
