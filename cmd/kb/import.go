package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/term"
)

type importOptions struct {
	profile, as                  string
	dryRun, yes, replace, asJSON bool
}

func newImport(a *app) *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use:   "import [SOURCE...]",
		Short: "take over the logins that agents and tools keep for themselves",
		Long: `Take over the logins that agents and tools keep for themselves:

  claude-code   ~/.claude/.credentials.json
  codex         ~/.codex/auth.json
  gemini-cli    ~/.gemini/oauth_creds.json
  gh            ~/.config/gh/hosts.yml, or the system's keyring

Without a SOURCE it says what is there and changes nothing.

The login of claude-code and of codex can have one owner only, because its refresh
token changes at each use: it moves into kb, and a placeholder takes its place in the
program's own file. Inside kb exec the program goes on as before; outside it is logged
out. kb asks first, and keeps the file as it was, encrypted to this device. gemini-cli's
moves likewise. gh's token is copied, and stays with gh.`,
		Example: `  kb import
  kb import claude-code -p work
  kb import gh codex -p work --yes`,
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error { return runImport(cmd, a, o, args) }),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.profile, "profile", "p", "", "profile that gets the login; default: the one of this directory")
	flags.StringVar(&o.as, "as", "", "name of a further login at the same provider")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	flags.BoolVar(&o.yes, "yes", false, "agree to placeholders in the programs' files without being asked")
	flags.BoolVar(&o.replace, "replace", false, "replace the login that is there")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

// importJSON is one source in kb import --json.
type importJSON struct {
	Source   string `json:"source"`
	Found    bool   `json:"found"`
	Path     string `json:"path,omitempty"`
	Provider string `json:"provider,omitempty"`
	Method   string `json:"method,omitempty"`
	Account  string `json:"account,omitempty"`
	Moves    bool   `json:"moves"` // a placeholder takes its place
	Imported bool   `json:"imported"`
	Profile  string `json:"profile,omitempty"`
	Backup   string `json:"backup,omitempty"`
	Note     string `json:"note,omitempty"`
}

func runImport(cmd *cobra.Command, a *app, o importOptions, sources []string) error {
	ctx := cmd.Context()
	b, err := a.brokerOfAny(ctx)
	if err != nil {
		return err
	}
	known := broker.ImportSources()
	for _, name := range sources {
		if !slices.Contains(known, name) {
			return usage(cmd, fmt.Errorf("kb import knows %s, not %q", strings.Join(known, ", "), name))
		}
	}
	looking := len(sources) == 0
	if looking {
		sources = known
	}
	if !looking && !o.dryRun {
		if o.profile, err = profileOf(ctx, a, b, o.profile); err != nil {
			return err
		}
	}
	var list []importJSON
	var failed []error
	for _, name := range sources {
		found, err := b.FindImport(name)
		line := importJSON{Source: name}
		switch {
		case err != nil && looking && errors.Is(err, broker.ErrNothingToImport):
		case errors.Is(err, broker.ErrImported) && looking:
			line.Note = "taken over already: a placeholder stands there"
		case errors.Is(err, broker.ErrImported):
			failed = append(failed, hint.Wrap(err, "for another login, log in there again first"))
		case err != nil && looking:
			line.Note = err.Error()
		case err != nil:
			failed = append(failed, err)
		default:
			line = describeImport(found)
			if !looking && !o.dryRun {
				if err := takeOver(ctx, b, o, found, &line); err != nil {
					failed = append(failed, err)
				}
			}
		}
		list = append(list, line)
	}
	if err := showImports(a, o, list, looking); err != nil {
		return err
	}
	return errors.Join(failed...)
}

func describeImport(f *broker.Importable) importJSON {
	return importJSON{
		Source: f.Source, Found: true, Path: f.Path, Provider: f.Provider, Method: f.Method, Account: f.Account, Moves: f.Moves,
	}
}

// takeOver imports one login, with the consent that it needs.
func takeOver(ctx context.Context, b *broker.Broker, o importOptions, f *broker.Importable, line *importJSON) error {
	if f.Moves && !o.yes {
		if err := consent(ctx, b, o.profile, f); err != nil {
			return err
		}
	}
	result, err := b.Import(ctx, broker.ImportSpec{Profile: o.profile, As: o.as, Found: f, Agreed: f.Moves, Replace: o.replace})
	if errors.Is(err, broker.ErrLoginExists) {
		return hint.Wrap(err, "add --replace to replace it, or --as NAME for a second one")
	}
	var away *broker.UnreachableError
	if errors.As(err, &away) {
		return hint.Wrap(err, "check the network and try again")
	}
	if err != nil {
		return err
	}
	line.Imported, line.Profile, line.Backup, line.Note = true, b.Show(o.profile), result.Backup, result.Note
	if result.Account != "" {
		line.Account = result.Account
	}
	return nil
}

// consent asks whether a program may be logged out where kb is not.
func consent(ctx context.Context, b *broker.Broker, profile string, f *broker.Importable) error {
	again := fmt.Sprintf("kb import %s -p %s --yes", f.Source, b.Show(profile))
	tty, err := term.OpenTTY()
	if err != nil {
		return hint.Exit(hint.Human, fmt.Errorf("import %s: its login can have one owner only, and nobody is there to agree that it moves", f.Source), "agree with "+again)
	}
	defer tty.Close()
	tty.Printf("%s keeps its login in %s.\nkb takes it over and puts a placeholder there: outside kb exec, %s is logged out.\n",
		f.Title, plain.Clean(f.Path), f.Title)
	yes, err := tty.Confirm(ctx, "Take it over?")
	if err != nil {
		return hint.Exit(hint.Cancelled, fmt.Errorf("import %s: %w", f.Source, err), "")
	}
	if !yes {
		return hint.Exit(hint.Cancelled, fmt.Errorf("import %s: not agreed, nothing was changed", f.Source), "to agree, "+again)
	}
	return nil
}

func showImports(a *app, o importOptions, list []importJSON, looking bool) error {
	if o.asJSON {
		return a.json(list)
	}
	if looking || o.dryRun {
		t := newTable(a.out, "SOURCE", "LOGIN", "ACCOUNT", "WHAT HAPPENS")
		for _, l := range list {
			what := "copied; " + l.Source + " keeps its own"
			switch {
			case !l.Found && l.Note != "":
				what = l.Note
			case !l.Found:
				what = "no login there"
			case l.Moves:
				what = "moves; a placeholder stays in " + l.Path
			}
			t.row(l.Source, l.Provider, l.Account, what)
		}
		return t.flush()
	}
	for _, l := range list {
		if !l.Imported {
			continue
		}
		who := ""
		if l.Account != "" {
			who = cleanLines(" as " + l.Account)
		}
		fmt.Fprintf(a.err, "profile %s is logged in at %s%s\n", l.Profile, l.Provider, who)
		if l.Moves {
			fmt.Fprintf(a.err, "%s holds a placeholder now; what it held is in %s, encrypted to this device (age -d -i IDENTITY opens it)\n", plain.Clean(l.Path), plain.Clean(l.Backup))
		}
		if l.Note != "" {
			fmt.Fprintf(a.err, "note: %s\n", cleanLines(l.Note))
		}
	}
	return nil
}
