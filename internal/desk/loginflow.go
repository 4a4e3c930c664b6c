package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/term"
	"kb/providers"
	"kb/tui"
	"kb/vaultfile"
)

// Login makes a login by what a person entered: a key, or a grant in a browser.
func (d *Desk) Login(ctx context.Context, r tui.LoginRequest, at tui.LoginScreen) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	m, err := d.making(b, r)
	if err != nil {
		return "", err
	}
	if m.exists && !r.Replace {
		return "", hint.Wrap(fmt.Errorf("log in: profile %q has a login at %s already", r.Profile, name(r.Provider, r.As)),
			"say that it is to be replaced, or give the new one a name of its own")
	}
	var result broker.LoginResult
	if m.method.Flow == providers.FlowOAuth {
		result, err = d.grant(ctx, b, m, at)
	} else {
		result, err = m.keep(ctx, b)
	}
	if err != nil {
		return "", d.adviseLogin(err, r)
	}
	note := fmt.Sprintf("profile %s is logged in at %s%s", r.Profile, name(r.Provider, r.As), asWhom(result.Account))
	if result.DeviceOnly {
		note += "\nIt is of this device alone: another device makes its own."
	}
	for _, more := range append(m.notes, result.Note) {
		if more != "" {
			note += "\nNote: " + more
		}
	}
	return note, nil
}

// making is a login that is being made.
type making struct {
	tui.LoginRequest
	definition *providers.Provider
	method     *providers.Method
	login      vaultfile.Login // of a profile by its full name
	exists     bool            // there is such a login
	notes      []string
}

// making finds what a login is made by. Of a login that is there it takes over
// what is not said anew.
func (d *Desk) making(b *broker.Broker, r tui.LoginRequest) (*making, error) {
	full, err := b.Find(r.Profile)
	if err != nil {
		return nil, d.advise(err)
	}
	m := &making{LoginRequest: r}
	old, exists := loginThere(b, full, r.Provider, r.As)
	if m.exists = exists; exists {
		if m.Method == "" && m.Way != "device" {
			m.Method = old.Method
		}
		if m.Base == "" {
			m.Base = old.Base
		}
		if m.Scopes == nil && m.Method == old.Method {
			m.Scopes = old.Scopes
		}
	}
	if m.definition, err = b.Definition(full, r.Provider, m.Base); err != nil {
		return m, d.advise(err)
	}
	var ok bool
	if m.method, ok = m.definition.Login.Method(m.Method); !ok {
		return m, hint.Wrap(fmt.Errorf("log in at %s: there is no login method %q", r.Provider, m.Method), "press n, and choose another way in")
	}
	if m.Way == "device" && !slices.Contains(m.method.Ways(), providers.WayDevice) {
		if m.method, _, ok = m.definition.Login.Choose(string(providers.WayDevice)); !ok {
			return m, hint.Wrap(fmt.Errorf("log in at %s: it has no code that is typed on another machine", r.Provider), "press l to log in in a browser")
		}
		m.Method = m.method.Name
	}
	m.login = vaultfile.Login{Profile: full, Provider: m.definition.Name, As: r.As, Base: m.Base, Method: m.method.Name, Scopes: m.Scopes}
	if exists && old.Method == m.method.Name {
		m.login.Client = old.Client
	}
	return m, nil
}

// keep makes a login of what a person gave: a key, or what tokens are minted
// from.
func (m *making) keep(ctx context.Context, b *broker.Broker) (broker.LoginResult, error) {
	for _, f := range m.method.Fields {
		value, ref := m.Values[f.Name], strings.TrimSpace(m.Refs[f.Name])
		switch {
		case ref != "":
			if err := checkRef(ref); err != nil {
				return broker.LoginResult{}, fmt.Errorf("what is given for %q is not a reference: %w", f.Title(), err)
			}
			if m.login.Refs == nil {
				m.login.Refs = map[string]string{}
			}
			m.login.Refs[f.Name] = ref
		case !value.IsZero():
			if m.login.Secrets == nil {
				m.login.Secrets = map[string]secret.Value{}
			}
			m.login.Secrets[f.Name] = value
			if !f.Fits(value) {
				m.notes = append(m.notes, fmt.Sprintf("%s does not look like what %s makes; kept all the same", f.Title(), m.definition.Title))
			}
		case !f.Optional:
			return broker.LoginResult{}, fmt.Errorf("log in at %s: no %s given", m.Provider, f.Title())
		}
	}
	return b.Login(ctx, broker.LoginSpec{Login: m.login, Verify: !m.NoVerify})
}

// checkRef refuses what is no reference. It may be the secret itself, and is not
// shown.
func checkRef(ref string) error {
	return hint.Wrap(broker.CheckReference(ref), "give env:NAME, file:/path or another form of docs/references.md")
}

// grant has a person grant a login in a browser.
func (d *Desk) grant(ctx context.Context, b *broker.Broker, m *making, at tui.LoginScreen) (broker.LoginResult, error) {
	desktop := term.Desktop{Getenv: d.o.Getenv}
	here, _ := desktop.Browser()
	spec := broker.OAuthLogin{Login: m.login, Verify: !m.NoVerify, Flow: m.Way}
	if m.Way == "" && !here && slices.Contains(m.method.Ways(), providers.WayDevice) {
		spec.Flow = broker.FlowDevice
	}
	switch m.Sync {
	case "vault":
		spec.Sync = broker.SyncYes
	case "device":
		spec.Sync = broker.SyncNo
	}
	var err error
	if spec.Client, err = m.client(b); err != nil {
		return broker.LoginResult{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &visited{at: at, desktop: desktop, open: here && m.Way != "device", qr: term.UTF8(d.o.Getenv), now: d.o.Now, cancel: cancel, beside: d.beside}
	defer s.close()
	spec.Screen = s
	result, err := b.LoginOAuth(ctx, spec)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return result, err
}

// Fields of an OAuth client of one's own, as LoginForm has them.
const (
	clientID     = "client_id"
	clientSecret = "client_secret"
)

// client is the OAuth client that a person gave; nil where the vault has it, or
// none is needed.
func (m *making) client(b *broker.Broker) (*vaultfile.Client, error) {
	id := m.Values[clientID]
	if id.IsZero() {
		return nil, nil
	}
	need, _, err := b.NeedsClient(m.login.Profile, m.login.Provider, m.login.Base, m.method.Name)
	if err != nil {
		return nil, err
	}
	c := &vaultfile.Client{Name: need.Name, Redirect: need.Redirect, ClientID: strings.TrimSpace(id.Reveal()), ClientSecret: m.Values[clientSecret]}
	if ref := strings.TrimSpace(m.Refs[clientSecret]); ref != "" {
		if err := checkRef(ref); err != nil {
			return nil, fmt.Errorf("what is given for the client's secret is not a reference: %w", err)
		}
		c.ClientSecret, c.SecretRef = secret.Value{}, ref
	}
	return c, nil
}

// visited is the broker's Screen: it tells the dashboard where a person has to go,
// opens a browser where that makes sense, and gives up after broker.CodeWait.
type visited struct {
	at      tui.LoginScreen
	desktop term.Desktop
	open    bool
	qr      bool
	now     func() time.Time
	cancel  context.CancelCauseFunc
	beside  func(func()) // runs what is not waited for

	mu    sync.Mutex
	step  tui.LoginStep
	until time.Time
	timer *time.Timer
	over  bool
}

func (s *visited) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}

// Visit implements broker.Screen.
func (s *visited) Visit(v broker.Visit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.Code == "" && v.Expires.IsZero() {
		if s.until.IsZero() {
			s.until = s.now().Add(broker.CodeWait)
			s.timer = time.AfterFunc(broker.CodeWait, func() { s.cancel(broker.ErrNobodyCame) })
		}
		v.Expires = s.until
	}
	if v.Problem == "" && v.Takes != "" {
		v.Problem = v.Elsewhere()
	}
	first := s.step.URL != v.URL || s.step.Code != v.Code
	s.step = tui.LoginStep{
		URL: v.URL, Code: v.Code, Opened: s.open, Paste: v.Code == "", Problem: v.Problem, Until: v.Expires,
		Text: waitsFor(v, s.desktop.SSH()),
	}
	address := v.URL
	if v.Complete != "" {
		address = v.Complete
	}
	if v.Code != "" && s.qr {
		// The dashboard looks whether it fits, and paints it.
		if picture := term.QR(address, term.Canvas{Width: 1 << 10, Height: 1 << 10, Blocks: true}); picture != "" {
			s.step.QR = strings.Split(strings.TrimRight(picture, "\n"), "\n")
		}
	}
	s.at.Step(s.step)
	if first && s.open {
		s.beside(func() { s.browse(address) })
	}
}

// browse opens a browser. It does not wait: some browsers end with their window,
// and they outlive the login.
func (s *visited) browse(address string) {
	err := s.desktop.Open(context.Background(), address)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && !s.over {
		s.step.Opened, s.step.Problem = false, "no browser opened, so open the page yourself"
		s.at.Step(s.step)
	}
}

// waitsFor says what is waited for, and what to do where the browser is on another
// machine.
func waitsFor(v broker.Visit, ssh bool) string {
	switch {
	case v.Code != "":
		return "waiting for the code to be typed, in any browser"
	case v.PasteOnly:
		return "the browser ends at a page whose address begins with " + v.Redirect + "; paste that address here"
	case ssh:
		return "the browser ends at a page that does not load, whose address begins with " + v.Redirect + "; paste that address here"
	}
	return "waiting for the browser"
}

// Redirected implements broker.Screen.
func (s *visited) Redirected(ctx context.Context) (string, error) {
	address, err := s.at.Pasted(ctx)
	return address.Reveal(), err
}

// adviseLogin adds what to do in the dashboard about a login that was not made.
func (d *Desk) adviseLogin(err error, r tui.LoginRequest) error {
	var (
		already  *hint.Error
		said     *oauth.Error
		rejected *broker.RejectedError
		away     *broker.UnreachableError
	)
	at := "log in at " + name(r.Provider, r.As)
	switch {
	case errors.Is(err, context.Canceled):
		return hint.Exit(hint.Cancelled, errors.New(at+": cancelled, nothing was kept"), "")
	case errors.As(err, &already):
		return err
	case errors.Is(err, broker.ErrNobodyCame):
		return hint.Exit(hint.Human, fmt.Errorf("%s: %w", at, err), "press r to try again")
	case errors.Is(err, broker.ErrRotates), errors.Is(err, broker.ErrNoRefresh):
		return hint.Exit(hint.Usage, err, "press e, and have it kept on this device")
	case errors.Is(err, broker.ErrNoRegistration), errors.Is(err, broker.ErrNoClient):
		return hint.Exit(hint.Human, err, "press e, and give an OAuth client of your own that you made there")
	case errors.Is(err, broker.ErrNoFlow):
		return hint.Exit(hint.Usage, err, "press e, and choose another way in")
	case errors.As(err, &rejected):
		return hint.Wrap(err, "check the key and that it has not expired; with e it is kept without asking whose it is")
	case errors.As(err, &away):
		return hint.Wrap(err, "check the network and press r; with e it is kept without asking whose it is")
	case errors.As(err, &said):
		return hint.Wrap(err, adviseServer(said))
	}
	return d.advise(err)
}

// adviseServer is what to do about an answer, or none, of an authorization server.
func adviseServer(said *oauth.Error) string {
	switch {
	case said.Code == oauth.CodeAccessDenied:
		return "press r to try again, and agree in the browser"
	case said.Code == oauth.CodeExpiredToken:
		return "press r to try again: the code has ended"
	case said.Code == oauth.CodeInvalidClient, said.Code == "unauthorized_client":
		return "check the OAuth client's id and secret: e gives another"
	case said.Code == "invalid_scope":
		return "press e, and ask for scopes that the client may have"
	case said.Temporary():
		return "check the network, and press r to try again"
	}
	return "see what the server says, and press r to try again"
}
