package main

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/vaultfile"
)

func newVaultShow(a *app) *cobra.Command {
	var asJSON, textconv bool
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "list what the vault holds: names and kinds, never a secret",
		Long: `List what the vault holds, or what a file holds that is a version of it: names
and kinds, never a secret. The way out of kb is age -d, as docs/format.md shows.

After kb vault setup-git, git diff and git log -p show the vault so.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list, err := vaultRows(cmd, a, args)
			if err != nil && textconv {
				// Git would end a whole git log -p here.
				fmt.Fprintf(a.out, "kb vault that cannot be shown: %s\n", plain.Clean(err.Error()))
				if fix := hint.Fix(advise(err)); fix != "" {
					fmt.Fprintf(a.out, "    %s\n", plain.Clean(fix))
				}
				return nil
			}
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(list)
			}
			t := newTable(a.out)
			for _, r := range list {
				t.row(r.Type, r.Name, r.About)
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&textconv, "textconv", false, "for git diff: say why FILE cannot be shown, and succeed")
	return cmd
}

// rowJSON is one record of kb vault show --json.
type rowJSON struct {
	Type  string `json:"type"`
	Name  string `json:"name"`
	About string `json:"about,omitempty"`
}

func vaultRows(cmd *cobra.Command, a *app, args []string) ([]rowJSON, error) {
	if len(args) == 0 {
		b, err := a.broker(cmd.Context())
		if err != nil {
			return nil, err
		}
		return rowsOf(b.Contents()), nil
	}
	b, err := a.device(cmd.Context())
	if err != nil {
		return nil, err
	}
	raw, err := broker.ReadVaultFile(args[0])
	if err != nil {
		return nil, fmt.Errorf("show vault: %w", err)
	}
	file, err := b.ReadVault(cmd.Context(), raw)
	if err != nil {
		return nil, fmt.Errorf("show %s: %w", args[0], err)
	}
	contents := file.Contents()
	names := map[string]string{}
	for _, d := range contents.Devices {
		names[d.ID] = d.Name
	}
	// Two versions differ in this at least, also where only a secret changed.
	rows := []rowJSON{}
	clock := file.Clock()
	for _, id := range slices.Sorted(maps.Keys(clock)) {
		rows = append(rows, rowJSON{"saved", deviceName(id, names), plural(int(clock[id]), "time")})
	}
	return append(rows, rowsOf(contents)...), nil
}

func rowsOf(c vaultfile.Contents) []rowJSON {
	rows := []rowJSON{}
	for _, p := range c.Profiles {
		rows = append(rows, rowJSON{"profile", p.Name, p.GitEmail})
	}
	for _, r := range c.Rules {
		rows = append(rows, rowJSON{"rule", r.ID, r.Conditions() + " gets " + r.Profile})
	}
	for _, l := range c.Logins {
		about := l.Account
		if !l.Created.IsZero() {
			if about != "" {
				about += ", "
			}
			about += "since " + l.Created.UTC().Format(time.DateTime)
		}
		rows = append(rows, rowJSON{"login", l.Profile + " at " + loginName(l), about})
	}
	for _, p := range c.Policies {
		rows = append(rows, rowJSON{"policy", p.ID, p.Profile + ": " + broker.PolicyWords(p)})
	}
	for _, p := range c.Providers {
		rows = append(rows, rowJSON{"provider", p.Name, ""})
	}
	for _, d := range c.Devices {
		rows = append(rows, rowJSON{"device", d.Name, d.Kind})
	}
	for _, s := range c.Settings {
		rows = append(rows, rowJSON{"setting", s.Name, s.Value})
	}
	return rows
}
