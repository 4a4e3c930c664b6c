package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kb/internal/audit"
	"kb/internal/broker"
	"kb/internal/hint"
)

func newAudit(a *app) *cobra.Command {
	var filter audit.Filter
	var follow, asJSON bool
	var since string
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "show who used which credential where",
		Long: `Show who used which credential where. A line: time, session, profile, provider,
action, method, host, path, status.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			paths, err := broker.FindPaths(a.getenv)
			if err != nil {
				return err
			}
			if err := filterSince(cmd, &filter, since); err != nil {
				return err
			}
			return showAudit(cmd.Context(), a, paths.Audit(), filter, follow, asJSON)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with events as they happen")
	filterFlags(cmd, &filter, &since)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line")
	cmd.AddCommand(newAuditVerify(a), newAuditExport(a))
	return cmd
}

// filterFlags are the flags that select events.
func filterFlags(cmd *cobra.Command, filter *audit.Filter, since *string) {
	flags := cmd.Flags()
	flags.StringVar(since, "since", "", "from then on: 2h, 3d, or 2026-01-31")
	flags.StringVar(&filter.Profile, "profile", "", "of one profile")
	flags.StringVar(&filter.Session, "session", "", "of one session")
	flags.BoolVar(&filter.Denied, "denied", false, "refusals only")
}

func filterSince(cmd *cobra.Command, filter *audit.Filter, since string) (err error) {
	if since == "" {
		return nil
	}
	if filter.Since, err = parseSince(since, time.Now()); err != nil {
		return usage(cmd, err)
	}
	return nil
}

func newAuditExport(a *app) *cobra.Command {
	var filter audit.Filter
	var asJSON bool
	var since string
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "write the audit to a file, or to standard output",
		Long: `Write the audit to a new file, or to standard output. No secret is in it; hosts
and paths are, which may tell one client about another.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			paths, err := broker.FindPaths(a.getenv)
			if err != nil {
				return err
			}
			if err := filterSince(cmd, &filter, since); err != nil {
				return err
			}
			if len(args) == 0 {
				return showAudit(cmd.Context(), a, paths.Audit(), filter, false, asJSON)
			}
			lines, unread, err := audit.Export(cmd.Context(), paths.Audit(), filter, args[0], asJSON, time.Local)
			if errors.Is(err, os.ErrExist) {
				return hint.Wrap(fmt.Errorf("export audit: %q is there already", args[0]), "name a file that is not there yet: kb audit export FILE")
			}
			if err != nil {
				return err
			}
			if unread > 0 {
				fmt.Fprintf(a.err, "note: %s of the audit could not be read; run kb audit verify\n", plural(unread, "line"))
			}
			fmt.Fprintf(a.err, "%s written to %s\n", plural(lines, "line"), cleanLines(args[0]))
			return nil
		},
	}
	filterFlags(cmd, &filter, &since)
	cmd.Flags().BoolVar(&asJSON, "json", false, "write one JSON object a line")
	return cmd
}

func showAudit(ctx context.Context, a *app, dir string, filter audit.Filter, follow, asJSON bool) error {
	shown := 0
	show := func(e audit.Event) error {
		shown++
		if !asJSON {
			_, err := fmt.Fprintln(a.out, audit.Line(&e, time.Local))
			return err
		}
		line, err := audit.JSON(&e)
		if err == nil {
			_, err = a.out.Write(line)
		}
		return err
	}
	if follow {
		if err := audit.Follow(ctx, dir, filter, show); !errors.Is(err, context.Canceled) {
			return err
		}
		return nil
	}
	for e, err := range audit.Read(dir, filter) {
		var line *audit.LineError
		switch {
		case errors.As(err, &line):
			fmt.Fprintf(a.err, "note: %s; run kb audit verify\n", cleanLines(line.Error()))
			continue
		case errors.Is(err, os.ErrNotExist):
			fmt.Fprintln(a.err, "nothing is recorded yet: what sessions do is, and kb exec -- COMMAND starts one")
			return nil
		case err != nil:
			return err
		}
		if err := show(e); err != nil {
			return err
		}
	}
	if shown == 0 {
		fmt.Fprintln(a.err, "no line of the audit is so")
	}
	return nil
}

// parseSince reads a duration back from now (with d for days) or a date.
func parseSince(s string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := time.ParseDuration(days + "h"); err == nil {
			return now.Add(-24 * n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since needs a duration (2h, 3d) or a date (2026-01-31), got %q", s)
}

func newAuditVerify(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify", Short: "check that no audit line was changed, removed or added", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			report, err := b.VerifyAudit()
			if err != nil {
				return err
			}
			if asJSON {
				if err := a.json(report); err != nil {
					return err
				}
			} else {
				for _, f := range report.Files {
					if f.Status == audit.Intact {
						continue
					}
					where := f.File
					if f.Line > 0 {
						where += fmt.Sprintf(", line %d", f.Line)
					}
					fmt.Fprintf(a.out, "%s: %s: %s\n", f.Status, where, cleanLines(f.Reason))
				}
				fmt.Fprintf(a.out, "%s in %s checked\n", plural(int(report.Lines), "line"), plural(len(report.Files), "file"))
			}
			if !report.OK() {
				return hint.Wrap(errors.New("verify audit: it is not what kb wrote"), "see the files named above; kb audit shows what is left of them")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
