package main

import (
	"time"

	"github.com/spf13/cobra"

	"kb/vaultfile"
)

func newDevice(a *app) *cobra.Command {
	return a.vaultFlag(group("device", "machines that can open the vault",
		newDeviceList(a), newDeviceJoin(a), newDeviceApprove(a), newDeviceRemove(a), newDeviceChecklist(a),
		newDeviceAddRecovery(a), newDeviceAddRecipient(a), newDeviceAddCI(a)))
}

// deviceJSON is one device in kb device ls --json.
type deviceJSON struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Kind      string     `json:"kind"` // device, ci, recovery
	Signs     bool       `json:"signs"`
	Recipient string     `json:"recipient"`
	This      bool       `json:"this"`
	Added     *time.Time `json:"added,omitempty"`
	AddedBy   string     `json:"added_by"`      // device id
	AddedName string     `json:"added_by_name"` // empty if that device is no more
}

func newDeviceList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list devices", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			devices := b.Contents().Devices
			names := map[string]string{}
			for _, d := range devices {
				names[d.ID] = d.Name
			}
			list := []deviceJSON{}
			for _, d := range devices {
				j := deviceJSON{
					ID: d.ID, Name: d.Name, Kind: d.Kind, Signs: len(d.SignKey) > 0, Recipient: d.Recipient,
					This: d.ID == b.DeviceID(), AddedBy: d.AddedBy, AddedName: names[d.AddedBy],
				}
				if !d.Created.IsZero() {
					j.Added = &d.Created
				}
				list = append(list, j)
			}
			if asJSON {
				return a.json(list)
			}
			t := newTable(a.out, "DEVICE", "KIND", "ADDED", "BY", "ID", "RECIPIENT")
			for i, d := range list {
				if d.This {
					d.Name += " (this one)"
				}
				t.row(d.Name, describeKind(devices[i]), day(devices[i].Created), addedBy(d), d.ID, shortRecipient(d.Recipient))
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// describeKind tells a key on paper from a recipient that only reads.
func describeKind(d vaultfile.Device) string {
	if d.Kind == vaultfile.KindRecovery && len(d.SignKey) == 0 {
		return "recipient"
	}
	return d.Kind
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format(time.DateOnly)
}

func addedBy(d deviceJSON) string {
	switch {
	case d.AddedBy == d.ID:
		return "itself"
	case d.AddedName != "":
		return d.AddedName
	}
	return d.AddedBy + " (removed)"
}

// shortRecipient keeps a table narrow: a post-quantum recipient has 1,959
// characters. --json has all of it.
func shortRecipient(s string) string {
	if len(s) > 80 {
		return s[:40] + "…"
	}
	return s
}
