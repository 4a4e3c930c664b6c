package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/providers"
	"kb/vaultfile"
)

type loginOptions struct {
	provider, profile, as, method, base, from string
	fields, scopes                            []string
	stdin, noVerify, replace                  bool
	noWait, noBrowser, sync, noSync           bool
	client, clientID, clientSecretFrom        string
	all, asJSON                               bool
}

func newLogin(a *app) *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login PROVIDER",
		Short: "give a profile a login at a provider",
		Long: `Give a profile a login at a provider: a key or token that kb keeps in the vault
and puts on requests, or one that you grant in a browser and kb keeps from expiring.

A key is asked for without echo, or read from standard input with --stdin (one line;
for several fields, "name: value" lines or a JSON object), or kept as a reference
with --from (env:NAME, file:/path, cmd:…, sops:…, keyring:…, op://, bw://, vault://,
awssm://, awsps://, gcpsm://: docs/references.md), which is resolved at use. A secret
on the command line is refused.

A login of the other kind says what to open and waits. It opens a browser where that
makes sense; over SSH it shows a code to type on any machine, where the provider has
that, and else takes the address that the browser ended at. --method code or device
chooses. With --no-wait it shows the code and ends; the same command again asks once
whether it was typed: exit 0 when it was, 4 while it was not.

An OAuth client of your own, where the provider wants one, is asked for once and kept
in the vault: --client-id with --client-secret-from REF, or --stdin with "client_id:"
and "client_secret:" lines, are for scripts.`,
		Example: `  kb login linear -p work
  kb login github -p work --method device
  printf %s "$TOKEN" | kb login github -p work --stdin
  kb login jira -p work --url https://acme.atlassian.net
  kb login mcp -p work --url https://mcp.acme.example/mcp`,
		Args: func(cmd *cobra.Command, args []string) error {
			switch {
			case o.all && len(args) > 0:
				return usage(cmd, errors.New("kb login --all takes no provider: it makes every login that this device has still to make"))
			case o.all:
				return nil
			case len(args) > 1: // what it was is not said: it may be a secret
				return hint.Exit(hint.Usage, errors.New("kb login takes one word, the provider's name, and no secret on the command line, where every process can read it"),
					"run kb login "+hint.Word(plain.Clean(args[0]))+", which asks for the secret without echo, or give it to --stdin")
			}
			return exactArgs(1, "a provider's name (kb provider ls)")(cmd, args)
		},
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			if o.sync && o.noSync {
				return usage(cmd, errors.New("--sync and --no-sync exclude each other"))
			}
			if o.all {
				return runLoginAll(cmd, a, o)
			}
			o.provider = args[0]
			return runLogin(cmd, a, o)
		}),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.profile, "profile", "p", "", "profile that gets the login; default: the one of this directory")
	flags.StringVar(&o.as, "as", "", "name of a further login at the same provider")
	flags.StringVar(&o.method, "method", "", "login method of the provider's definition, or code or device")
	flags.BoolVar(&o.stdin, "stdin", false, "read the secret, or the OAuth client, from standard input")
	flags.StringVar(&o.from, "from", "", "keep a reference in place of the value: env:NAME, file:/path, op://…, awssm://… and others (docs/references.md)")
	flags.StringArrayVar(&o.fields, "field", nil, "FIELD=REF, a reference for one of several fields (repeatable)")
	flags.StringVar(&o.base, "url", "", "base URL of a self-hosted or per-tenant provider, or of an MCP server")
	flags.StringSliceVar(&o.scopes, "scopes", nil, "OAuth scopes to ask for, comma-separated, in place of the definition's")
	flags.BoolVar(&o.sync, "sync", false, "keep the refresh token in the vault, for every device")
	flags.BoolVar(&o.noSync, "no-sync", false, "keep it on this device alone")
	flags.BoolVar(&o.noVerify, "no-verify", false, "do not ask the provider who the credential belongs to")
	flags.BoolVar(&o.noWait, "no-wait", false, "show the code to type and end; the same command again asks once")
	flags.BoolVar(&o.noBrowser, "no-browser", false, "open no browser, only say what to open")
	flags.BoolVar(&o.replace, "replace", false, "replace the login that is there")
	flags.StringVar(&o.client, "client", "", "name of the OAuth client in the vault, where there are several")
	flags.StringVar(&o.clientID, "client-id", "", "id of your own OAuth client; kept in the vault")
	flags.StringVar(&o.clientSecretFrom, "client-secret-from", "", "reference to that client's secret, kept in its place")
	flags.BoolVar(&o.all, "all", false, "make every login that this device has still to make")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

// loginResultJSON is kb login --json.
type loginResultJSON struct {
	Profile    string     `json:"profile"`
	Provider   string     `json:"provider"`
	As         string     `json:"as,omitempty"`
	Method     string     `json:"method"`
	State      string     `json:"state"` // logged in, pending
	Account    string     `json:"account,omitempty"`
	Scopes     []string   `json:"scopes,omitempty"`
	Expires    *time.Time `json:"expires,omitempty"` // of the token; while pending, of the code
	DeviceOnly bool       `json:"device_only"`
	Note       string     `json:"note,omitempty"`

	URL         string `json:"url,omitempty"` // while pending: where to type the code
	Code        string `json:"code,omitempty"`
	CompleteURL string `json:"complete_url,omitempty"` // with the code in it
}

func runLogin(cmd *cobra.Command, a *app, o loginOptions) error {
	ctx := cmd.Context()
	b, err := a.brokerOfAny(ctx)
	if err != nil {
		return err
	}
	a.upkeep(ctx, b)
	if o.profile, err = profileOf(ctx, a, b, o.profile); err != nil {
		return err
	}
	return logIn(ctx, cmd, a, b, o)
}

// logIn makes the login that o describes, of a profile by its full name.
func logIn(ctx context.Context, cmd *cobra.Command, a *app, b *broker.Broker, o loginOptions) error {
	old, again := loginState(b, o.profile, o.provider, o.as)
	if again {
		o = o.likeBefore(old.Login)
	}
	definition, err := b.Definition(o.profile, o.provider, o.base)
	if err != nil {
		return err
	}
	method, way, ok := definition.Login.Choose(o.meant(definition))
	if !ok {
		return usage(cmd, fmt.Errorf("%s has no login method %q, only %s", definition.Name, o.method, methodNames(definition)))
	}
	login := vaultfile.Login{
		Profile: o.profile, Provider: definition.Name, As: o.as, Base: o.base, Method: method.Name,
		Scopes: o.scopes, Client: o.client,
	}
	if again && o.client == "" && old.Login.Method == method.Name {
		login.Client = old.Login.Client
	}
	// A login that a person grants and that has ended is made again; a key that
	// is there is not lost by a slip.
	if again && !o.replace && !(old.OAuth && old.State == broker.StateNeedsLogin) {
		return hint.Wrap(fmt.Errorf("log in: profile %q has a login at %s already", b.Show(login.Profile), loginName(login)),
			"add --replace to replace it, or --as NAME for a second one")
	}
	if method.Flow == providers.FlowAgent {
		return usage(cmd, fmt.Errorf("the %s is not made here but taken over: kb import %s -p %s", method.Title, broker.ImportSource(method), b.Show(o.profile)))
	}
	if err := o.suits(cmd, definition, method); err != nil {
		return err
	}
	var result broker.LoginResult
	if method.Flow == providers.FlowOAuth {
		result, err = grantLogin(ctx, cmd, a, b, o, grant{definition, method, way, login})
	} else {
		result, err = keepFields(ctx, cmd, a, b, o, definition, method, login)
		err = adviseServer(err, "run "+loginCommand(b, login))
	}
	if err != nil {
		return err
	}
	return sayLogin(a, b, o, login, result)
}

// loginState is a login of a profile by its full name, and how it stands.
func loginState(b *broker.Broker, full, provider, as string) (broker.LoginState, bool) {
	shown := b.Show(full)
	for _, s := range b.LoginStates() {
		if s.Login.Profile == shown && s.Login.Provider == provider && s.Login.As == as {
			return s, true
		}
	}
	return broker.LoginState{}, false
}

// likeBefore takes over from the login that is there what was not said anew.
func (o loginOptions) likeBefore(old vaultfile.Login) loginOptions {
	if o.method == "" {
		o.method = old.Method
	}
	if o.base == "" {
		o.base = old.Base
	}
	if o.scopes == nil && o.method == old.Method {
		o.scopes = old.Scopes
	}
	return o
}

// meant is the method that the flags name, or that they can only mean.
func (o loginOptions) meant(definition *providers.Provider) string {
	if o.method != "" {
		return o.method
	}
	if o.noWait {
		if _, _, ok := definition.Login.Choose(string(providers.WayDevice)); ok {
			return string(providers.WayDevice)
		}
	}
	if o.noWait || o.sync || o.noSync || o.clientID != "" || o.clientSecretFrom != "" {
		for _, m := range definition.Login.Methods() {
			if m.Flow == providers.FlowOAuth {
				return m.Name
			}
		}
	}
	return ""
}

// suits refuses flags that say nothing about the method.
func (o loginOptions) suits(cmd *cobra.Command, definition *providers.Provider, method *providers.Method) error {
	granted := method.Flow == providers.FlowOAuth
	for _, f := range []struct {
		given bool
		name  string
		fits  bool
	}{
		{o.from != "", "--from", !granted},
		{len(o.fields) > 0, "--field", !granted},
		{o.noWait, "--no-wait", granted},
		{o.sync, "--sync", granted},
		{o.noSync, "--no-sync", granted},
		{o.clientID != "", "--client-id", granted},
		{o.clientSecretFrom != "", "--client-secret-from", granted},
		{len(o.scopes) > 0, "--scopes", method.Flow != providers.FlowPaste},
	} {
		if f.given && !f.fits {
			return usage(cmd, fmt.Errorf("%s does not go with the login method %q of %s", f.name, method.Name, definition.Name))
		}
	}
	return nil
}

// sayLogin tells what came of a login.
func sayLogin(a *app, b *broker.Broker, o loginOptions, login vaultfile.Login, result broker.LoginResult) error {
	if o.asJSON {
		j := loginResultJSON{
			Profile: b.Show(login.Profile), Provider: login.Provider, As: login.As, Method: login.Method,
			State: "logged in", Account: result.Account, Scopes: result.Scopes, DeviceOnly: result.DeviceOnly, Note: result.Note,
		}
		j.Expires = moment(result.Expires)
		return a.json(j)
	}
	who := ""
	if result.Account != "" {
		who = " as " + result.Account
	}
	fmt.Fprintf(a.err, "profile %s is logged in at %s%s\n", b.Show(login.Profile), loginName(login), cleanLines(who))
	if result.DeviceOnly {
		fmt.Fprintf(a.err, "note: this login is of this device alone; another device makes its own: kb login --all\n")
	}
	if result.Note != "" {
		fmt.Fprintf(a.err, "note: %s\n", cleanLines(result.Note))
	}
	return nil
}

// moment is a time for JSON; nil where there is none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// profileOf is the full name of the profile that -p names, or of the current
// directory's.
func profileOf(ctx context.Context, a *app, b *broker.Broker, given string) (string, error) {
	if given != "" {
		return b.Find(given)
	}
	d, err := b.Decide(ctx, broker.DecideSpec{Environ: childEnviron(a.environ)})
	if err != nil {
		return "", hint.Exit(hint.Code(err), err, "name the profile with -p NAME")
	}
	return d.Match.Profile, nil
}

func methodNames(definition *providers.Provider) string {
	var names []string
	for _, m := range definition.Login.Methods() {
		names = append(names, m.Name)
		for _, way := range m.Ways() {
			if !slices.Contains(names, string(way)) {
				names = append(names, string(way))
			}
		}
	}
	return strings.Join(names, ", ")
}

// loginName is how a login is called in talk: "github", "github (bot)".
func loginName(l vaultfile.Login) string {
	if l.As == "" {
		return l.Provider
	}
	return l.Provider + " (" + l.As + ")"
}
