package main

import (
	"github.com/spf13/cobra"
)

func newDevice(a *app) *cobra.Command {
	return group("device", "machines that can open the vault", newDeviceList(a), newDeviceAddCI(a))
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
			type deviceJSON struct {
				ID        string `json:"id"`
				Name      string `json:"name"`
				Kind      string `json:"kind"`
				Recipient string `json:"recipient"`
				This      bool   `json:"this"`
			}
			list := []deviceJSON{}
			for _, d := range b.Contents().Devices {
				list = append(list, deviceJSON{d.ID, d.Name, d.Kind, d.Recipient, d.ID == b.DeviceID()})
			}
			if asJSON {
				return a.json(list)
			}
			t := newTable(a.out, "DEVICE", "KIND", "ID", "RECIPIENT")
			for _, d := range list {
				if d.This {
					d.Name += " (this one)"
				}
				t.row(d.Name, d.Kind, d.ID, d.Recipient)
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
