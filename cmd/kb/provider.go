package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/providers"
	"kb/vaultfile"
)

func newProvider(a *app) *cobra.Command {
	return a.vaultFlag(group("provider", "services that kb knows, and your own definitions",
		newProviderList(a), newProviderShow(a), newProviderLint(a), newProviderAdd(a), newProviderRemove(a)))
}

// catalog is the vault's, or the one that ships where there is no vault yet,
// and what other vaults define.
func (a *app) catalog(cmd *cobra.Command) (*providers.Catalog, []broker.OwnProvider, error) {
	b, err := a.broker(cmd.Context())
	switch {
	case errors.Is(err, broker.ErrNoIdentity), errors.Is(err, broker.ErrNoVault), errors.Is(err, broker.ErrLocked):
		catalog, err := providers.NewCatalog()
		return catalog, nil, err
	case err != nil:
		return nil, nil, err
	}
	return b.Catalog(), b.OwnElsewhere(), nil
}

func newProviderList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list providers", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			catalog, elsewhere, err := a.catalog(cmd)
			if err != nil {
				return err
			}
			if a.vault != "" {
				elsewhere = nil // one vault was asked for
			}
			all, err := catalog.All()
			if err != nil {
				return err
			}
			if asJSON {
				type providerJSON struct {
					Name       string   `json:"name"`
					Title      string   `json:"title"`
					Hosts      []string `json:"hosts"`
					Own        bool     `json:"own"`
					Vault      string   `json:"vault,omitempty"` // of another vault than the default one
					Unverified bool     `json:"unverified"`
				}
				list := []providerJSON{}
				for _, p := range all {
					list = append(list, providerJSON{p.Name, p.Title, p.Hosts, catalog.Own(p.Name), "", p.Unverified})
				}
				for _, p := range elsewhere {
					list = append(list, providerJSON{p.Name, p.Title, p.Hosts, true, p.Vault, p.Unverified})
				}
				return a.json(list)
			}
			t := newTable(a.out, "PROVIDER", "TITLE", "HOSTS")
			for _, p := range all {
				title := p.Title
				if p.Unverified {
					title += " (unverified)"
				}
				t.row(p.Name, title, strings.Join(p.Hosts, " "))
			}
			for _, p := range elsewhere {
				t.row(p.Name, p.Title+" (vault "+p.Vault+")", strings.Join(p.Hosts, " "))
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newProviderShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "show how a credential goes on a provider's requests", Args: exactArgs(1, "a provider's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			catalog, _, err := a.catalog(cmd)
			if err != nil {
				return err
			}
			p, err := catalog.Get(args[0])
			if err != nil {
				return err
			}
			t := newTable(a.out)
			t.row("provider", p.Name)
			t.row("title", p.Title)
			t.row("hosts", strings.Join(p.Hosts, " "))
			if p.Note != "" {
				t.row("note", p.Note)
			}
			t.row("variables", strings.Join(sortedNames(p.EnvFor("")), " "))
			if len(p.Scrub) > 0 {
				t.row("taken away", strings.Join(p.Scrub, " "))
			}
			for _, in := range p.Inject {
				t.row("on requests to", strings.Join(in.Hosts, " "))
				if len(in.Paths) > 0 {
					t.row("  paths", strings.Join(in.Paths, " "))
				}
				for _, name := range sortedNames(in.Header) {
					t.row("  header", name+": "+in.Header[name])
				}
				if in.Basic != nil {
					t.row("  basic", in.Basic.Username+" : "+in.Basic.Password)
				}
				for _, name := range sortedNames(in.Query) {
					t.row("  query", name+"="+in.Query[name])
				}
				for _, name := range sortedNames(in.Cookie) {
					t.row("  cookie", name+"="+in.Cookie[name])
				}
			}
			for _, m := range p.Login.Methods() {
				showMethod(t, p, m)
			}
			for _, m := range p.Mints {
				t.row("denied", strings.TrimSpace(m.Method+" "+m.Path)+" (makes a credential)")
			}
			for _, source := range p.Sources {
				t.row("source", source)
			}
			if p.Unverified {
				t.row("unverified", "some of this has no vendor page behind it yet")
			}
			return t.flush()
		},
	}
}

// showMethod says how one logs in by a method: what to give, or who is asked.
func showMethod(t *table, p *providers.Provider, m *providers.Method) {
	name := "login " + m.Name
	switch m.Flow {
	case providers.FlowOAuth:
		t.row(name, grantText(m))
	case providers.FlowAgent:
		t.row(name, "the program's own, by kb import "+broker.ImportSource(m))
	}
	for _, f := range m.Fields {
		t.row(name, f.Title())
	}
	if m.Flow != providers.FlowPaste && !m.Renews() {
		t.row("  flow", string(m.Flow))
	}
	if m.Server != nil {
		for _, row := range [][2]string{
			{"  authorize at", m.Server.Authorization},
			{"  device at", m.Server.Device},
			{"  tokens from", m.Server.Token},
			{"  found from", resourceOf(m)},
			{"  revoke at", m.Server.Revocation},
		} {
			if row[1] != "" {
				t.row(row[0], row[1])
			}
		}
		if len(m.Scopes) > 0 {
			t.row("  scopes", strings.Join(m.Scopes, " "))
		}
	}
	if m.Page != "" {
		t.row("  made at", m.Page)
	}
	if env := sortedNames(m.Env); len(env) > 0 {
		t.row("  variables", strings.Join(env, " "))
	}
	if _, built := providers.BuildClient(p.Name); built && m.Client == providers.ClientBuild {
		t.row("  client", "this build's own")
	}
}

// grantText says how a person grants a method, and by whose client.
func grantText(m *providers.Method) string {
	var ways []string
	for _, way := range m.Ways() {
		ways = append(ways, map[providers.Way]string{providers.WayCode: "in a browser", providers.WayDevice: "by a code on any device"}[way])
	}
	client := "with a client of your own"
	if m.Client == providers.ClientDynamic {
		client = "with a client that kb registers"
	}
	return strings.Join(ways, ", or ") + ", " + client
}

// resourceOf is where discovery starts.
func resourceOf(m *providers.Method) string {
	if !m.Discover {
		return ""
	}
	return m.Server.Resource
}

func newProviderLint(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "lint FILE...", Short: "check provider definitions",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, errors.New("kb provider lint needs a file"))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			bad := 0
			for _, path := range args {
				text, err := os.ReadFile(path)
				if err != nil {
					return fmt.Errorf("read definition: %w", err)
				}
				findings := providers.Lint(text)
				for _, f := range findings {
					if f.Severity == providers.Error {
						bad++
					}
					fmt.Fprintf(a.out, "%s:%s\n", path, cleanLines(f.String()))
				}
				if len(findings) == 0 {
					fmt.Fprintf(a.out, "%s: ok\n", path)
				}
			}
			if bad > 0 {
				return hint.Wrap(fmt.Errorf("lint: %s", plural(bad, "error")), "docs/providers.md describes the format")
			}
			return nil
		},
	}
}

func newProviderAdd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "add FILE",
		Short: "add a definition of your own to the vault",
		Long: `Add a definition of your own to the vault. It serves the logins of that vault's
profiles and of no other: what a shared vault says of a provider does not touch
your own logins there.`,
		Args: exactArgs(1, "a definition's file"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[0])
			if err != nil {
				return fmt.Errorf("read definition: %w", err)
			}
			p, err := providers.Parse(text)
			if err != nil {
				return hint.Wrap(err, "run kb provider lint "+args[0])
			}
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			return b.AddProvider(cmd.Context(), vaultfile.Provider{Name: p.Name, TOML: string(text), Replaces: p.Replaces})
		}),
	}
}

func newProviderRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "remove a definition of your own", Args: exactArgs(1, "a provider's name"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			if !b.Catalog().Own(args[0]) {
				return hint.Wrap(fmt.Errorf("remove provider %q: it is not one of your own", args[0]), "run kb provider ls")
			}
			return b.Edit(cmd.Context(), func(tx *vaultfile.Tx) error { return tx.DeleteProvider(args[0]) })
		}),
	}
}
