package main

import (
	"time"

	"github.com/spf13/cobra"
)

func newVaultHistory(a *app) *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "history",
		Short: "say who changed what, by name, from git's log",
		Long: `Say which device changed what, by name and never by value, from the log of the
vault's git repository. kb vault restore REV NAME brings back what was deleted.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			list, err := b.History(cmd.Context(), limit)
			if err != nil {
				return err
			}
			devices := b.DeviceNames()
			if asJSON {
				type pastJSON struct {
					Commit  string       `json:"commit"`
					When    time.Time    `json:"when"`
					Author  string       `json:"author"`           // as git has it
					Device  string       `json:"device,omitempty"` // that saved the vault
					Merge   bool         `json:"merge"`
					Removed bool         `json:"removed"` // the commit removed the vault
					Changes []changeJSON `json:"changes"`
					Error   string       `json:"error,omitempty"` // why the version cannot be read
				}
				out := []pastJSON{}
				for _, p := range list {
					j := pastJSON{p.Commit, p.When.UTC(), p.Author, deviceName(p.Device, devices), p.Merge, p.Removed, changesJSON(p.Changes, devices), ""}
					if p.Err != nil {
						j.Error = p.Err.Error()
					}
					out = append(out, j)
				}
				return a.json(out)
			}
			t := newTable(a.out, "REV", "WHEN", "DEVICE", "CHANGE")
			for _, p := range list {
				rev, when, device := p.Commit[:min(10, len(p.Commit))], p.When.Local().Format("2006-01-02 15:04"), deviceName(p.Device, devices)
				row := func(what string) {
					t.row(rev, when, device, what)
					rev, when, device = " ", " ", " "
				}
				switch {
				case p.Removed:
					row("the vault was removed, by " + p.Author)
				case p.Err != nil:
					row("cannot be read: " + p.Err.Error())
				case p.Merge && len(p.Changes) == 0:
					row("merge")
				case len(p.Changes) == 0:
					row("nothing by name")
				}
				for _, c := range p.Changes {
					what := describeChange(c, devices)
					if c.Device != p.Device {
						what += ", by " + deviceName(c.Device, devices)
					}
					row(what)
				}
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().IntVarP(&limit, "number", "n", 0, "how many versions, the newest ones; 0 is all")
	return cmd
}
