package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/vaultfile"
)

func newDeviceChecklist(a *app) *cobra.Command {
	var asJSON bool
	var done string
	cmd := &cobra.Command{
		Use:   "checklist",
		Short: "list what removed devices knew and what was not changed since",
		Long: `List every secret that a removed device could read and that was not changed since,
with the command that changes it. A secret that is replaced or removed goes off the
list by itself. Replacing it here does not make the old one worthless: revoke that
at its provider.

A login by reference is listed too: the device could read where its secret is kept,
and maybe the secret there. Change it there, and take it off with --done ITEM.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if done != "" {
				if err := a.outside("device checklist --done"); err != nil {
					return err
				}
			}
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			if done != "" {
				err := b.Rotated(cmd.Context(), done)
				if errors.Is(err, vaultfile.ErrNotFound) {
					return hint.Wrap(fmt.Errorf("take %q off the list: it is not on it", done), "run kb device checklist, and give the item as it stands under COULD READ")
				}
				if err != nil {
					return err
				}
			}
			list := b.Checklist()
			if asJSON {
				out := []removedDeviceJSON{}
				for _, d := range list {
					out = append(out, removedJSON(b, d))
				}
				return a.json(out)
			}
			return printChecklist(a, b, list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().StringVar(&done, "done", "", "take an item off the list: login/PROFILE/PROVIDER, as the list names it")
	return cmd
}

// removedDeviceJSON is one device in kb device checklist --json, and what kb
// device rm --json prints.
type removedDeviceJSON struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Removed time.Time      `json:"removed"`
	Open    []exposureJSON `json:"open"`
}

type exposureJSON struct {
	Item    string `json:"item"`
	Kind    string `json:"kind"` // secret, reference
	Command string `json:"command"`
}

func removedJSON(b *broker.Broker, d vaultfile.RemovedDevice) removedDeviceJSON {
	out := removedDeviceJSON{d.ID, d.Name, d.Removed, []exposureJSON{}}
	for _, e := range d.Open {
		out.Open = append(out.Open, exposureJSON{e.Item, exposureKind(e), rotateCommand(b, e)})
	}
	return out
}

func exposureKind(e vaultfile.Exposure) string {
	if e.Reference {
		return "reference"
	}
	return "secret"
}

func printChecklist(a *app, b *broker.Broker, list []vaultfile.RemovedDevice) error {
	open := 0
	t := newTable(a.out, "REMOVED", "ON", "COULD READ", "KIND", "TO CHANGE IT")
	for _, d := range list {
		open += len(d.Open)
		for _, e := range d.Open {
			command := rotateCommand(b, e)
			if e.Reference {
				command = "change it where it is kept, then " + command
			}
			t.row(d.Name, day(d.Removed), e.Type+"/"+e.Key, exposureKind(e), command)
		}
	}
	if open == 0 {
		fmt.Fprintln(a.err, "nothing is open: no removed device knows a secret that is still in use")
		return nil
	}
	return t.flush()
}

// rotateCommand is how a thing that a removed device could read is changed.
func rotateCommand(b *broker.Broker, e vaultfile.Exposure) string {
	parts := strings.Split(e.Key, "/")
	if e.Type != "login" || len(parts) < 2 || e.Reference {
		return "kb device checklist --done " + hint.Word(e.Type+"/"+e.Key)
	}
	command := "kb login " + hint.Word(parts[1]) + " -p " + hint.Word(b.ProfileIn(parts[0]))
	if len(parts) > 2 {
		command += " --as " + hint.Word(parts[2])
	}
	return command + " --replace"
}
