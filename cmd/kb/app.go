package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/refresh"
	"kb/internal/supervisor"
)

// app is what every verb is given: streams and environment. Nothing is opened
// until a verb asks for it, so that --help reads no file.
type app struct {
	in      *os.File
	out     io.Writer
	err     io.Writer
	environ []string
	getenv  func(string) string
	vault   string // --vault NAME of the verbs that are about one vault; empty is the default one
	stop    func() // gives the default signal handling back, before a child runs
	exit    int    // a child's own exit code, when a verb ended with one
	stopped bool   // and a person had it stop
}

func newApp() *app {
	return &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ(), getenv: os.Getenv}
}

// run executes the command line and returns the exit code. Errors are printed
// here and nowhere else.
func run(ctx context.Context, stop func(), a *app, args []string) int {
	if err := supervisor.Harden(); err != nil {
		fmt.Fprintf(a.err, "kb: %v\n", err)
		return hint.Failure
	}
	a.stop = stop
	root := newRoot(a, args)
	root.SetArgs(args)
	err := root.ExecuteContext(a.withPlugins(ctx))
	if err == nil {
		return a.exit
	}
	err = advise(err)
	if !isQuiet(err) {
		printError(a.err, err)
	}
	return hint.Code(err)
}

func printError(w io.Writer, err error) {
	fmt.Fprintf(w, "kb: %s\n", cleanLines(err.Error()))
	if fix := hint.Fix(err); fix != "" {
		fmt.Fprintf(w, "    %s\n", cleanLines(fix))
	}
}

// cleanLines cleans each line of a message: its own line breaks stay.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = plain.Clean(lines[i])
	}
	return strings.Join(lines, "\n    ")
}

// broker opens the vault that the verb is about, and the device's state. Of
// other vaults that cannot be opened it says so and goes on.
func (a *app) broker(ctx context.Context) (*broker.Broker, error) {
	return a.sayMissing(a.open(ctx, broker.Options{Vault: a.vault}))
}

// brokerOfAny does for verbs that are about every vault, or about that of a
// profile: it goes on with those that can be opened.
func (a *app) brokerOfAny(ctx context.Context) (*broker.Broker, error) {
	return a.sayMissing(a.open(ctx, broker.Options{Any: true}))
}

func (a *app) open(ctx context.Context, o broker.Options) (*broker.Broker, error) {
	var err error
	if o.Paths, err = broker.FindPaths(a.getenv); err != nil {
		return nil, err
	}
	o.Getenv, o.Spawn = a.getenv, refresh.Self
	for {
		b, err := broker.Open(ctx, o)
		if err == nil {
			a.sayNotes(b)
			return b, nil
		}
		if err = a.joinOnTheWay(ctx, o, err); err != nil {
			return nil, err
		}
	}
}

// device opens what this device is and remembers, and no vault.
func (a *app) device(ctx context.Context) (*broker.Broker, error) {
	paths, err := broker.FindPaths(a.getenv)
	if err != nil {
		return nil, err
	}
	b, err := broker.OpenDevice(ctx, broker.Options{Paths: paths, Getenv: a.getenv, Vault: a.vault})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// upkeep does what has waited for this device, and says what it did: tokens
// whose login another device removed are given back.
func (a *app) upkeep(ctx context.Context, b *broker.Broker) {
	if a.getenv("KB_SESSION") != "" {
		return
	}
	for _, line := range b.Upkeep(ctx) {
		fmt.Fprintf(a.err, "kb: %s\n", plain.Clean(line))
	}
}

// sayNotes tells what happened to the vaults by itself.
func (a *app) sayNotes(b *broker.Broker) {
	for _, line := range b.Notes() {
		fmt.Fprintf(a.err, "kb: %s\n", plain.Clean(line))
	}
}

func (a *app) sayMissing(b *broker.Broker, err error) (*broker.Broker, error) {
	if err != nil {
		return nil, err
	}
	for _, v := range b.Vaults() {
		if v.Err != nil {
			fmt.Fprintf(a.err, "kb: going on without vault %s: %s\n", v.Name, cleanLines(v.Err.Error()))
		}
	}
	return b, nil
}

// vaultFlag gives a verb and those below it --vault NAME.
func (a *app) vaultFlag(cmd *cobra.Command) *cobra.Command {
	cmd.PersistentFlags().StringVar(&a.vault, "vault", "", "name of the vault, where there are several (kb vault ls); default: the default one")
	return cmd
}

// json prints v on stdout, indented, with HTML characters as they are.
func (a *app) json(v any) error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := a.out.Write(plain.JSON(text.Bytes()))
	return err
}

// outside refuses a verb inside a session. It guards against accident only: an
// agent at tier hardened can leave the session's process tree.
func (a *app) outside(verb string) error {
	if a.getenv("KB_SESSION") == "" {
		return nil
	}
	return hint.Exit(hint.Refused, fmt.Errorf("kb %s is not for use inside a session", verb),
		"run it in a terminal of your own, outside kb exec")
}

// guarded wraps the run function of verbs that change what kb holds.
func (a *app) guarded(run func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := a.outside(strings.TrimPrefix(cmd.CommandPath(), "kb ")); err != nil {
			return err
		}
		return run(cmd, args)
	}
}
