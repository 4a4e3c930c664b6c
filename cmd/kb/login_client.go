package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/secret"
	"kb/internal/term"
	"kb/providers"
	"kb/vaultfile"
)

// ownClient is the OAuth client that a person gives for a login; nil where the
// vault has it, or none is needed. It is kept in the vault with the login, and
// used by later ones.
func ownClient(ctx context.Context, cmd *cobra.Command, a *app, b *broker.Broker, o loginOptions, g grant) (*vaultfile.Client, error) {
	given := o.clientID != "" || o.clientSecretFrom != "" || o.stdin
	need, needed, err := b.NeedsClient(g.login.Profile, g.login.Provider, g.login.Base, g.method.Name)
	if err != nil || !given && (!needed || need.Dynamic) {
		return nil, err
	}
	client := &vaultfile.Client{Name: need.Name, Redirect: need.Redirect}
	if o.client != "" {
		client.Name = o.client
	}
	switch {
	case o.stdin:
		values, err := readFields(a.in, clientFields)
		if err != nil {
			return nil, err
		}
		client.ClientID, client.ClientSecret = values["client_id"].Reveal(), values["client_secret"]
	case o.clientID != "":
		client.ClientID = o.clientID
		if o.clientSecretFrom != "" {
			if client.ClientSecret, err = resolveNow(ctx, b, o.clientSecretFrom); err != nil {
				return nil, err
			}
		}
	case o.clientSecretFrom != "":
		return nil, usage(cmd, errors.New("--client-secret-from needs --client-id"))
	default:
		return client, askClient(ctx, b, g, need, client, term.Desktop{Getenv: a.getenv}, o.noBrowser)
	}
	return client, nil
}

// resolveNow is what a reference holds at this moment.
func resolveNow(ctx context.Context, b *broker.Broker, ref string) (secret.Value, error) {
	if broker.CheckReference(ref) != nil {
		return secret.Value{}, hint.Exit(hint.Usage, errors.New("read the client's secret: what --client-secret-from has is no reference"), referenceForms)
	}
	return b.Resolve(ctx, ref)
}

// clientFields are the lines of --stdin that describe a client.
var clientFields = []providers.Field{
	{Name: "client_id", Label: "Client ID"},
	{Name: "client_secret", Label: "Client secret", Secret: true, Optional: true},
}

// askClient shows where a client is made, and asks for it.
func askClient(ctx context.Context, b *broker.Broker, g grant, need broker.ClientNeed, client *vaultfile.Client, desktop term.Desktop, noBrowser bool) error {
	tty, err := term.OpenTTY()
	if err != nil {
		where := ""
		if need.Page != "" {
			where = " (made at " + need.Page + ", with the redirect URI " + need.Redirect + ")"
		}
		return hint.Exit(hint.Human, fmt.Errorf("log in at %s: it needs an OAuth client of your own%s, and there is no terminal to ask on", g.definition.Name, plain.Clean(where)),
			"run "+loginCommand(b, g.login)+" --client-id ID --client-secret-from REF")
	}
	defer tty.Close()
	title := plain.Clean(g.definition.Title)
	tty.Printf("%s wants an OAuth app of your own, once; kb keeps it in the vault for every login there.\n\n", title)
	if need.Page != "" {
		tty.Printf("  make it at        %s\n", plain.Clean(need.Page))
	}
	tty.Printf("  redirect URI      %s\n                    exactly so, also called callback URL\n\n", plain.Clean(need.Redirect))
	if ok, _ := desktop.Browser(); ok && !noBrowser && need.Page != "" {
		go func() { _ = desktop.Open(context.Background(), need.Page) }() // the address is on the screen
	}
	cancelled := func(err error) error {
		return hint.Exit(hint.Cancelled, fmt.Errorf("log in at %s: %w", g.definition.Name, err), "")
	}
	if client.ClientID, err = tty.AskLine(ctx, "Client ID: "); err != nil {
		return cancelled(err)
	}
	if client.ClientID == "" {
		return cancelled(errors.New("no client ID given"))
	}
	if !need.Secret {
		return nil
	}
	label := "Client secret"
	if need.SecretOptional {
		label += " (enter for none)"
	}
	if client.ClientSecret, err = askField(ctx, tty, label, true); err != nil {
		return cancelled(err)
	}
	if client.ClientSecret.IsZero() && !need.SecretOptional {
		return cancelled(errors.New("no client secret given"))
	}
	return nil
}
