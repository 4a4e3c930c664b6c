package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/plain"
)

func newSync(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "commit the vault, merge the remote's, and push",
		Long: `Commit the vault in its git repository, merge it with what the remote has, and
push. Only the vault's own path is committed, with the line that kb vault
setup-git wrote to .gitattributes; other changed and staged files stay as they
are. It never force-pushes. If other files conflict, it stops with exit code 4
and changes none of them.

Nothing that the repository's own configuration, hooks or attributes name is run.
The commits are not signed, and say nothing of what changed.`,
		Args: noArgs,
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			r, err := b.Sync(cmd.Context())
			a.sayNotes(b)
			if err != nil {
				var early *broker.SyncError
				if errors.As(err, &early) && early.Committed {
					fmt.Fprintln(a.err, "the vault is committed here")
				}
				return err
			}
			devices := b.DeviceNames()
			if asJSON {
				return a.json(struct {
					Repository  string            `json:"repository"`
					Remote      string            `json:"remote"`
					Branch      string            `json:"branch"`
					Commit      string            `json:"commit"`
					Committed   bool              `json:"committed"`
					Pushed      bool              `json:"pushed"`
					Received    []changeJSON      `json:"received"`
					Sent        []changeJSON      `json:"sent"`
					Conflicts   []conflictJSON    `json:"conflicts"`
					Quarantined []quarantinedJSON `json:"quarantined"`
				}{
					r.Repository, r.Remote, r.Branch, r.Commit, r.Committed, r.Pushed, changesJSON(r.Received, devices), changesJSON(r.Sent, devices),
					conflictsJSON(r.Conflicts, devices), quarantinedListJSON(r.Quarantined, devices),
				})
			}
			for _, c := range r.Received {
				fmt.Fprintf(a.out, "received %s\n", describeChange(c, devices))
			}
			for _, c := range r.Sent {
				fmt.Fprintf(a.out, "sent     %s\n", describeChange(c, devices))
			}
			for _, q := range r.Quarantined {
				fmt.Fprintf(a.err, "%s\n", describeQuarantined(q, devices))
			}
			for _, c := range r.Conflicts {
				fmt.Fprintf(a.err, "%s\n", describeConflict(c, devices))
			}
			where := plain.Clean(r.Remote + " " + r.Branch)
			switch {
			case r.Pushed:
				fmt.Fprintf(a.err, "pushed to %s\n", where)
			case len(r.Received) > 0:
				fmt.Fprintf(a.err, "up to date with %s now\n", where)
			default:
				fmt.Fprintf(a.err, "%s has it all already\n", where)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
