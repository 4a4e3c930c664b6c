package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/term"
)

type joinOptions struct {
	broker.JoinOptions
	passphrase, asJSON bool
	code               string
}

func newDeviceJoin(a *app) *cobra.Command {
	var o joinOptions
	cmd := &cobra.Command{
		Use:   "join",
		Short: "ask for this machine to be let into a vault",
		Long: `Ask for this machine to be let into a vault.

The first time, it makes this machine's identity, and prints a request: one line
without a secret in it, to be given to kb device approve on a device of the vault,
by whatever way. Both show the same fingerprint.

When the approved vault has come here (git pull), run it again: it asks for the six
words that kb device approve showed, and so knows whose signature to believe.`,
		Example: `  kb device join --vault ~/dotfiles/vault.age
  kb device join --code 'lusab babad gutih tugad mudof sakat'`,
		Args: noArgs,
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error { return runJoin(cmd.Context(), a, o) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&o.VaultPath, "vault", "", "where the vault is or will be (a dotfiles repository); default: the config folder")
	flags.StringVar(&o.VaultName, "vault-name", "", "what this machine calls the vault, where there are several")
	flags.StringVar(&o.Device, "name", "", "name of this machine; default: the host name")
	flags.StringVar(&o.Device, "device", "", "name of this machine, as kb init has it")
	_ = flags.MarkHidden("device")
	flags.BoolVar(&o.passphrase, "passphrase", false, "wrap the identity with a passphrase")
	flags.BoolVar(&o.PostQuantum, "pq", false, "make a post-quantum identity, for a vault of kb init --pq")
	flags.StringVar(&o.code, "code", "", "the six words that kb device approve showed")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

// joinJSON is kb device join --json.
type joinJSON struct {
	State       string `json:"state"` // waiting, needs code, joined
	Device      string `json:"device"`
	DeviceID    string `json:"device_id"`
	Vault       string `json:"vault"`
	Request     string `json:"request,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

func runJoin(ctx context.Context, a *app, o joinOptions) error {
	paths, err := broker.FindPaths(a.getenv)
	if err != nil {
		return err
	}
	o.Paths, o.Getenv = paths, a.getenv
	if o.code != "" {
		return finishJoin(ctx, a, o)
	}
	if o.passphrase {
		if o.Passphrase, err = newPassphrase(ctx, "kb device join --passphrase"); err != nil {
			return err
		}
	}
	result, err := broker.Join(ctx, o.JoinOptions)
	if err != nil {
		return err
	}
	if result.State == broker.JoinApproved {
		if o.code, err = askCode(ctx); err == nil {
			return finishJoin(ctx, a, o)
		}
		if !o.asJSON || hint.Code(err) != hint.Human {
			return err
		}
	}
	if o.asJSON {
		return a.json(joinJSON{result.State, result.Device, result.DeviceID, result.Vault, result.Request, result.Fingerprint})
	}
	fmt.Fprintf(a.err, "identity    %s\nvault       %s\nfingerprint %s\nrequest:\n", result.Identity, result.Vault, result.Fingerprint)
	fmt.Fprintln(a.out, result.Request)
	fmt.Fprintln(a.err, "next: on a device that opens the vault, run kb device approve 'REQUEST', where the same fingerprint must show")
	fmt.Fprintln(a.err, "      then bring the vault here (git pull) and run kb device join again")
	return nil
}

// finishJoin takes the code, and shows that the vault opens.
func finishJoin(ctx context.Context, a *app, o joinOptions) error {
	b, err := broker.Trust(ctx, o.Options, o.VaultName, o.code)
	if err != nil {
		return err
	}
	if o.asJSON {
		return a.json(joinJSON{State: broker.JoinDone, Device: b.DeviceName(), DeviceID: b.DeviceID(), Vault: b.VaultPath()})
	}
	c := b.Contents()
	fmt.Fprintf(a.err, "joined: %s opens on this device, with %s and %s\n", b.VaultPath(), plural(len(c.Profiles), "profile"), plural(len(c.Logins), "login"))
	return nil
}

// askCode asks for the words that name whom to trust.
func askCode(ctx context.Context) (string, error) {
	tty, err := term.OpenTTY()
	if err != nil {
		return "", hint.Exit(hint.Human, broker.ErrNeedsCode, adviseCode)
	}
	defer tty.Close()
	code, err := tty.AskLine(ctx, "The six words that kb device approve showed: ")
	if err != nil {
		return "", hint.Exit(hint.Cancelled, fmt.Errorf("join vault: %w", err), "")
	}
	if code == "" {
		return "", hint.Exit(hint.Cancelled, errors.New("join vault: no code given"), "run kb device join again")
	}
	return code, nil
}

const adviseCode = "run kb device join --code 'six words', with the words from the device that approved this one"

// joinOnTheWay asks for the code where a vault is opened for the first time, on
// a terminal of the person's own.
func (a *app) joinOnTheWay(ctx context.Context, o broker.Options, err error) (*broker.Broker, error) {
	if !errors.Is(err, broker.ErrNeedsCode) || a.getenv("KB_SESSION") != "" {
		return nil, err
	}
	code, err := askCode(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := broker.Trust(ctx, broker.Options{Paths: o.Paths, Getenv: o.Getenv}, o.Vault, code); err != nil {
		return nil, err
	}
	return a.open(ctx, o)
}
