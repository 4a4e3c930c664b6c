package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/oauth"
	kbterm "kb/internal/term"
	"kb/providers"
	"kb/vaultfile"
)

// grant is a login that a person grants.
type grant struct {
	definition *providers.Provider
	method     *providers.Method
	way        providers.Way // named by the person; else ""
	login      vaultfile.Login
}

// grantLogin has a person grant a login in a browser.
func grantLogin(ctx context.Context, cmd *cobra.Command, a *app, b *broker.Broker, o loginOptions, g grant) (broker.LoginResult, error) {
	none := broker.LoginResult{}
	spec := broker.OAuthLogin{Login: g.login, Verify: !o.noVerify, NoWait: o.noWait}
	switch {
	case o.sync:
		spec.Sync = broker.SyncYes
	case o.noSync:
		spec.Sync = broker.SyncNo
	}
	spec.Flow = string(chooseWay(g.method.Ways(), g.way, kbterm.Desktop{Getenv: a.getenv}))
	if o.noWait && !g.method.Discover && !slices.Contains(g.method.Ways(), providers.WayDevice) {
		return none, usage(cmd, fmt.Errorf("--no-wait needs a code that is typed in the browser, and the login method %q of %s has none", g.method.Name, g.definition.Name))
	}
	var err error
	if spec.Client, err = ownClient(ctx, cmd, a, b, o, g); err != nil {
		return none, err
	}
	screen := newLoginScreen(a, o, g.definition.Title, b.Show(g.login.Profile))
	defer screen.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	screen.cancel = cancel
	spec.Screen = screen
	result, err := b.LoginOAuth(ctx, spec)
	screen.close()
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, kbterm.ErrCancelled):
		return none, hint.Exit(hint.Cancelled, fmt.Errorf("log in at %s: cancelled, nothing was kept", loginName(g.login)), "")
	case err != nil:
		return none, adviseLogin(err, b, g.login, o)
	case result.Pending:
		return none, sayPending(a, b, o, g.login, screen)
	}
	return result, nil
}

// chooseWay is how a person grants a login: as they said; where no browser can
// be opened here, by a code that is typed on any machine, if the provider has
// that. Else the broker chooses.
func chooseWay(ways []providers.Way, named providers.Way, desktop kbterm.Desktop) providers.Way {
	if named != "" {
		return named
	}
	if here, _ := desktop.Browser(); !here && slices.Contains(ways, providers.WayDevice) {
		return providers.WayDevice
	}
	return ""
}

// sayPending tells what a person has to do elsewhere before the same command
// finds the login done.
func sayPending(a *app, b *broker.Broker, o loginOptions, login vaultfile.Login, screen *loginScreen) error {
	v := screen.visit
	screen.say(v)
	if o.asJSON {
		if err := a.json(loginResultJSON{
			Profile: b.Show(login.Profile), Provider: login.Provider, As: login.As, Method: login.Method, State: "pending",
			Expires: moment(v.Expires), URL: v.URL, Code: v.Code, CompleteURL: v.Complete,
		}); err != nil {
			return err
		}
	}
	return hint.Exit(hint.Human, fmt.Errorf("log in at %s: the code is not typed yet", loginName(login)),
		"when it is, run "+loginCommand(b, login)+" --no-wait again")
}

// loginCommand is what makes a login again.
func loginCommand(b *broker.Broker, l vaultfile.Login) string {
	return "kb login " + l.Provider + loginFlags(b.Show(l.Profile), l.As)
}

// loginFlags name a login beside its provider.
func loginFlags(shown, as string) string {
	flags := " -p " + hint.Word(shown)
	if as != "" {
		flags += " --as " + hint.Word(as)
	}
	return flags
}

// adviseLogin adds what to do about a login that was not granted.
func adviseLogin(err error, b *broker.Broker, login vaultfile.Login, o loginOptions) error {
	var already *hint.Error
	again := "run " + loginCommand(b, login)
	switch {
	case errors.As(err, &already):
		return err
	case errors.Is(err, errNothingPasted), errors.Is(err, broker.ErrNobodyCame):
		return hint.Exit(hint.Human, fmt.Errorf("log in at %s: %w", login.Provider, err), again+" in a terminal")
	case errors.Is(err, broker.ErrRotates), errors.Is(err, broker.ErrNoRefresh):
		return hint.Exit(hint.Usage, err, again+" without --sync")
	case errors.Is(err, broker.ErrNoRegistration), errors.Is(err, broker.ErrNoClient):
		return hint.Exit(hint.Human, err, again+" --client-id ID --client-secret-from REF, with a client that you made there")
	case errors.Is(err, broker.ErrNoFlow):
		return hint.Exit(hint.Usage, err, again+" without --method "+o.method)
	case errors.Is(err, broker.ErrNoWait):
		return hint.Exit(hint.Usage, err, again+" without --no-wait")
	}
	return adviseServer(err, again)
}

// adviseServer adds what to do about an answer, or none, of an authorization
// server. again is what to run.
func adviseServer(err error, again string) error {
	var said *oauth.Error
	if !errors.As(err, &said) {
		return err
	}
	fix := "see what the server says, and " + again + " again"
	switch {
	case said.Code == oauth.CodeAccessDenied:
		fix = again + " again, and agree in the browser"
	case said.Code == oauth.CodeExpiredToken:
		fix = again + " again: the code has ended"
	case said.Code == oauth.CodeInvalidClient, said.Code == "unauthorized_client":
		fix = "check the OAuth client's id and secret, and " + again + " with the right ones"
	case said.Code == "invalid_scope":
		fix = again + " --scopes with those that the app may ask for"
	case said.Temporary():
		fix = "check the network, and " + again + " again"
	}
	return hint.Exit(hint.Failure, err, fix)
}

// isTerminal reports whether what is written there is seen on a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
