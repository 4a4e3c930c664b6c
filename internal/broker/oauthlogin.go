package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"kb/internal/oauth"
	"kb/providers"
	"kb/vaultfile"
)

// Sync says whether the refresh token of a login goes into the vault, for all
// devices, or stays on the device that made the login.
type Sync int

// The zero Sync follows the provider's definition: a refresh token that its
// server keeps is synced, one that it rotates never is.
const (
	SyncDefault Sync = iota
	SyncYes
	SyncNo
)

// OAuthLogin is a login that a person grants at the provider.
type OAuthLogin struct {
	Login  vaultfile.Login   // of a profile by its full name; Scopes are those to ask for, nil means the definition's
	Flow   string            // FlowCode, FlowDevice, or "" for the one that serves here
	Client *vaultfile.Client // typed just now; nil: the vault's, the build's, or one by dynamic registration
	Sync   Sync
	Verify bool // ask the provider whose it is
	NoWait bool // show what a person has to do and return; the same call later goes on with it
	Screen Screen
}

// Flows that a person grants a login by.
const (
	FlowCode   = "code"   // a browser on this machine, or the address that it ended at
	FlowDevice = "device" // a code, typed in any browser
)

// CodeWait is how long a Screen waits for a browser before it gives the login up with
// ErrNobodyCame. Authorization pages live for minutes; a script that waits for a
// person who never comes ends, and who went away comes back to an error that says so.
const CodeWait = 15 * time.Minute

// ErrNobodyCame says that CodeWait is over.
var ErrNobodyCame = fmt.Errorf("nobody granted it within %d minutes", CodeWait/time.Minute)

// Screen is where a person is told what to do.
type Screen interface {
	// Visit shows where to go. It may be called again, and returns at once.
	Visit(Visit)
	// Redirected returns the address that the person's browser ended at, where
	// that is pasted. It blocks until there is one, or ctx is done; an error
	// means that nobody will paste one.
	Redirected(ctx context.Context) (string, error)
}

// Visit is what a person has to open, and to type there.
type Visit struct {
	URL       string
	Code      string    // to type at URL; "" if there is none to type
	Complete  string    // URL with the code in it, for a QR code; "" where the server has none
	Expires   time.Time // zero when nobody says
	Redirect  string    // where the browser ends in the end, for FlowCode
	Takes     string    // host that gets what is granted at URL, where that is another's; "" where it is not
	PasteOnly bool      // nothing listens at Redirect: its address has to be pasted
	Problem   string    // why this is shown again; "" the first time
}

// Elsewhere says where what is granted goes, where that is another's.
func (v Visit) Elsewhere() string {
	return fmt.Sprintf("what you grant at %s goes to %s, which is another's: agree only if that is meant", hostOf(v.URL), v.Takes)
}

// Errors of a login that a person grants.
var (
	// ErrNoFlow says that the login's method has no such flow.
	ErrNoFlow = errors.New("login method has no such flow")
	// ErrRotates says that a login cannot be synced: two devices that refresh
	// with one rotating token lose the login for both.
	ErrRotates = errors.New("its refresh tokens change at each use, so that each device needs a login of its own")
	// ErrNoRefresh says that a login cannot be synced, for there is nothing
	// that another device could get tokens with.
	ErrNoRefresh = errors.New("it has no refresh tokens, so that each device needs a login of its own")
	// ErrNoWait says that a flow cannot be left and gone on with later.
	ErrNoWait = errors.New("this flow needs kb to wait for the browser")
)

// LoginOAuth has a person grant a login, and keeps it. One that answers as
// somebody else than the profile expects is revoked and not kept.
func (b *Broker) LoginOAuth(ctx context.Context, o OAuthLogin) (LoginResult, error) {
	ctx = bounded(ctx)
	g, err := b.granting(ctx, o)
	if err != nil {
		return LoginResult{}, err
	}
	device, err := g.pending()
	if err != nil {
		return LoginResult{}, err
	}
	var tokens oauth.Tokens
	switch {
	case device != nil:
		tokens, err = g.byDevice(ctx, device, true)
	default:
		var way string
		if way, err = g.way(); err != nil {
			return LoginResult{}, err
		}
		if way == FlowCode {
			tokens, err = g.byCode(ctx)
		} else if device, err = b.oauth().Device(ctx, g.server, g.client, g.scopes); err == nil {
			tokens, err = g.byDevice(ctx, device, false)
		}
	}
	if errors.Is(err, errPending) {
		return LoginResult{Pending: true, Expires: device.Expires}, nil
	}
	if err != nil {
		return LoginResult{}, fmt.Errorf("log in at %s: %w", g.login.Provider, err)
	}
	return g.keep(ctx, tokens)
}

// granting is a login while a person grants it.
type granting struct {
	b          *Broker
	o          OAuthLogin
	home       *vault
	full       string          // the profile's full name
	login      vaultfile.Login // its Profile is as its vault has it
	what       string          // its tokens are for; older than the definition, never younger
	definition *providers.Provider
	method     *providers.Method
	server     oauth.Server
	client     oauth.Client
	record     *vaultfile.Client // of the client, to be kept with the login; nil when it is there
	scopes     []string          // to ask for
	taken      bool              // from a program, whose tokens they are yet: nothing is revoked
	from       string            // hash of the program's refresh token
	finish     func() error      // done last, before anybody refreshes; what fails there is no login. Nil does nothing
}

// granting finds all that a login needs before a person is asked.
func (b *Broker) granting(ctx context.Context, o OAuthLogin) (*granting, error) {
	g := &granting{b: b, o: o, full: o.Login.Profile, login: o.Login, scopes: o.Login.Scopes}
	fail := func(err error) (*granting, error) {
		return nil, fmt.Errorf("log in at %s: %w", o.Login.Provider, err)
	}
	var err error
	if g.home, g.login.Profile, err = b.home(g.full); err != nil {
		return nil, err
	}
	if b.ci {
		return fail(vaultfile.ErrReadOnly)
	}
	written := b.writtenByOthers(g.full, g.login.Provider)
	if g.definition, err = b.Definition(g.full, g.login.Provider, g.login.Base); err != nil {
		return nil, err
	}
	var ok bool
	if g.method, ok = g.definition.Login.Method(g.login.Method); !ok || g.method.Flow != providers.FlowOAuth {
		return fail(ErrNoFlow)
	}
	g.login.Method = g.method.Name
	g.what = grantedFor(g.login, written)
	if o.Sync == SyncYes && g.method.Refresh == "rotate" {
		return fail(ErrRotates)
	}
	var asked []string
	if g.server, asked, err = b.findServer(ctx, g.method, g.login.Base); err != nil {
		return fail(err)
	}
	for _, scopes := range [][]string{g.method.Scopes, asked} {
		if g.scopes == nil {
			g.scopes = scopes
		}
	}
	if err := g.findClient(ctx); err != nil {
		return fail(err)
	}
	return g, nil
}

// findClient finds the client to ask with, or makes it.
func (g *granting) findClient(ctx context.Context) (err error) {
	b, at := g.b, g.login
	at.Profile = g.full
	if g.o.Client != nil {
		record := *g.o.Client
		record.Name = cmp.Or(record.Name, clientName(g.login.Provider, g.login.Base))
		g.record, g.login.Client = &record, record.Name
		v, _ := b.split(g.full)
		if err := b.wantClient(ctx, v, at, record); err != nil {
			return err
		}
		g.client, err = b.protocolClient(at, record)
		return err
	}
	if g.method.Client == providers.ClientDynamic {
		at.Client = dynamicName(g.login.Provider, g.server)
		record, ok := b.clientRecord(g.full, at.Client)
		if !ok || b.over(record) || record.Issuer != g.server.Issuer { // another server's client is none of this one's
			record, err = b.register(ctx, g.login.Provider, g.server, g.scopes)
			g.record = &record
		}
		if err == nil {
			g.login.Client = record.Name
			g.client, err = b.protocolClient(at, record)
			g.server.ClientAuth = authFor(g.server, g.client)
			return err
		}
		if !errors.Is(err, ErrNoRegistration) {
			return err
		}
		at.Client, g.record = g.o.Login.Client, nil // one of the user's own serves as well
	}
	g.login.Client = ""
	for _, name := range []string{at.Client, clientName(at.Provider, at.Base)} {
		if _, ok := b.clientRecord(g.full, name); ok {
			g.login.Client = name
			break
		}
	}
	at.Client = g.login.Client
	g.client, err = b.clientOf(at, g.method)
	return err
}

// over reports whether the secret of a registered client has ended.
func (b *Broker) over(c vaultfile.Client) bool {
	return !c.Expires.IsZero() && !b.now().Before(c.Expires)
}

// way is the flow for this login on this machine.
func (g *granting) way() (string, error) {
	hasCode, hasDevice := g.server.Authorization != "", g.server.Device != ""
	switch flow := g.o.Flow; {
	case flow == FlowCode && hasCode && g.o.NoWait:
		return "", ErrNoWait
	case flow == FlowCode && hasCode, flow == FlowDevice && hasDevice:
		return flow, nil
	case flow != "" || !hasCode && !hasDevice:
		return "", ErrNoFlow
	case g.o.NoWait && !hasDevice:
		return "", ErrNoWait
	case !hasDevice:
		return FlowCode, nil
	case !hasCode || g.o.NoWait || g.b.remote():
		return FlowDevice, nil
	case g.client.Secret.IsZero() && g.server.ClientAuth != oauth.AuthNone:
		return FlowDevice, nil // the code flow wants a secret that this client has not
	}
	return FlowCode, nil
}

// remote reports whether a browser here would not be in front of the person
// (sshd(8) sets these).
func (b *Broker) remote() bool { return b.getenv("SSH_CONNECTION") != "" || b.getenv("SSH_TTY") != "" }

// byCode waits for the browser, or for the address that it ended at.
func (g *granting) byCode(ctx context.Context) (oauth.Tokens, error) {
	l, err := g.b.oauth().Loopback(ctx, g.server, g.client, g.scopes)
	if err != nil {
		return oauth.Tokens{}, err
	}
	defer l.Close()
	visit := Visit{URL: l.URL(), Redirect: l.Redirect(), PasteOnly: l.PasteOnly(), Takes: g.takes(l.URL())}
	g.o.Screen.Visit(visit)
	ctx, cancel := context.WithCancel(ctx)
	var pasting sync.WaitGroup
	defer pasting.Wait()
	defer cancel()
	pasting.Go(func() {
		for ctx.Err() == nil {
			address, err := g.o.Screen.Redirected(ctx)
			if err != nil {
				return
			}
			if err = l.Paste(address); err == nil {
				return
			}
			again := visit
			again.Problem = err.Error()
			g.o.Screen.Visit(again)
		}
	})
	return l.Wait(ctx)
}

// takes is the host that gets what a person grants at a page, where a server that
// was found has sent them to a page of another's: it may pass on to them what is
// asked of it, and take what they answer.
func (g *granting) takes(page string) string {
	if !isFound(g.method) {
		return ""
	}
	at, err := url.Parse(page)
	to, failed := url.Parse(g.server.Token)
	if err != nil || failed != nil || providers.SameOwner(at.Hostname(), to.Hostname()) {
		return ""
	}
	return to.Host
}

// byDevice waits until the person has typed the code somewhere. Who does not
// wait is told of a code, and asks once when coming back.
func (g *granting) byDevice(ctx context.Context, d *oauth.Device, back bool) (oauth.Tokens, error) {
	g.o.Screen.Visit(Visit{URL: d.VerificationURI, Code: d.UserCode, Complete: d.VerificationURIComplete, Expires: d.Expires, Takes: g.takes(d.VerificationURI)})
	var tokens oauth.Tokens
	var err error
	switch {
	case !g.o.NoWait:
		tokens, err = d.Wait(ctx)
	case back:
		tokens, err = d.Ask(ctx)
	default:
		err = errPending
	}
	var said *oauth.Error
	if g.o.NoWait && (errors.Is(err, errPending) || errors.As(err, &said) &&
		(said.Code == oauth.CodeAuthorizationPending || said.Code == oauth.CodeSlowDown || said.Temporary())) {
		if err := g.keepPending(ctx, d); err != nil {
			return tokens, err
		}
		return tokens, errPending
	}
	if ctx.Err() == nil {
		_ = g.b.store.DeletePending(g.b.tokenKey(loginKey{g.full, g.login.Provider, g.login.As}))
	}
	return tokens, err
}

// errPending says that the person has not decided yet.
var errPending = errors.New("authorization pending")
