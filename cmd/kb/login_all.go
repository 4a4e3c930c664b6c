package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/term"
)

// runLoginAll makes the logins that this device has still to make, one after
// the other: those whose refresh tokens the vault does not hold. One that fails
// is told and left.
func runLoginAll(cmd *cobra.Command, a *app, o loginOptions) error {
	ctx := cmd.Context()
	b, err := a.brokerOfAny(ctx)
	if err != nil {
		return err
	}
	a.upkeep(ctx, b)
	only := ""
	if o.profile != "" {
		if only, err = b.Find(o.profile); err != nil {
			return err
		}
	}
	var missing []broker.LoginState
	for _, s := range b.LoginStates() {
		if s.Missing && (only == "" || s.Login.Profile == b.Show(only)) {
			missing = append(missing, s)
		}
	}
	if len(missing) == 0 {
		fmt.Fprintln(a.err, "this device has every login that it can have")
		return nil
	}
	if tty, err := term.OpenTTY(); err != nil {
		for _, s := range missing {
			fmt.Fprintf(a.err, "left: %s at %s\n", s.Login.Profile, loginName(s.Login))
		}
		return hint.Exit(hint.Human, fmt.Errorf("log in: %s left to make on this device, and there is no terminal", plural(len(missing), "login")),
			"run kb login --all in a terminal")
	} else {
		_ = tty.Close()
	}
	left := 0
	for i, s := range missing {
		fmt.Fprintf(a.err, "%d of %d: %s at %s\n", i+1, len(missing), s.Login.Profile, loginName(s.Login))
		one := o
		one.all, one.provider, one.as, one.replace = false, s.Login.Provider, s.Login.As, true
		if one.profile, err = b.Find(s.Login.Profile); err == nil {
			err = logIn(ctx, cmd, a, b, one)
		}
		switch {
		case err == nil:
		case ctx.Err() != nil: // ctrl+c is for the whole walk
			return hint.Exit(hint.Cancelled, errors.New("log in: cancelled"), fmt.Sprintf("run kb login --all for the %s left", plural(len(missing)-i, "login")))
		default:
			left++
			printError(a.err, advise(err))
		}
		fmt.Fprintln(a.err)
	}
	if left > 0 {
		return hint.Exit(hint.Human, fmt.Errorf("log in: %s left to make on this device", plural(left, "login")), "run kb login --all again, or kb status")
	}
	return nil
}
