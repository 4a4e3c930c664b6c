package main

import (
	"context"
	"errors"
	"fmt"

	"filippo.io/age/plugin"

	"kb/internal/plain"
	"kb/internal/term"
	"kb/vaultfile"
)

// withPlugins lets age plugins, which a save may run, talk on the terminal. A
// plugin is a program that the user installed, and what it says is shown as
// others' text is.
func (a *app) withPlugins(ctx context.Context) context.Context {
	say := func(name, format string, args ...any) {
		fmt.Fprintf(a.err, "age-plugin-%s: %s\n", name, plain.Clean(fmt.Sprintf(format, args...)))
	}
	return vaultfile.WithPluginUI(ctx, &plugin.ClientUI{
		DisplayMessage: func(name, message string) error {
			say(name, "%s", message)
			return nil
		},
		RequestValue: func(name, prompt string, isSecret bool) (string, error) {
			tty, err := term.OpenTTY()
			if err != nil {
				say(name, "asks %q, and there is no terminal", prompt)
				return "", err
			}
			defer tty.Close()
			question := "age-plugin-" + name + ": " + prompt + ": "
			if !isSecret {
				return tty.AskLine(ctx, question)
			}
			value, err := tty.AskSecret(ctx, question)
			return value.Reveal(), err
		},
		Confirm: func(name, prompt, yes, no string) (bool, error) {
			tty, err := term.OpenTTY()
			if err != nil {
				say(name, "asks %q, and there is no terminal", prompt)
				return false, err
			}
			defer tty.Close()
			if no == "" {
				_, err := tty.AskLine(ctx, fmt.Sprintf("age-plugin-%s: %s (Enter for %q) ", name, prompt, yes))
				return err == nil, err
			}
			line, err := tty.AskLine(ctx, fmt.Sprintf("age-plugin-%s: %s (1 for %q, 2 for %q) ", name, prompt, yes, no))
			switch {
			case err != nil:
				return false, err
			case line == "1":
				return true, nil
			case line == "2":
				return false, nil
			}
			return false, errors.New("neither 1 nor 2")
		},
		WaitTimer: func(name string) { say(name, "is waiting for something, such as a touch of its key") },
	})
}
