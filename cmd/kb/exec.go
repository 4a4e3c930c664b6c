package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/state"
	"kb/internal/supervisor"
	"kb/internal/term"
)

// Isolation tiers. hidden and locked are designed and not there yet.
const (
	tierAuto     = "auto"
	tierOff      = "off"
	tierHardened = "hardened"
)

// sessionGC is how much a session's heap may grow before it is collected, in
// percent of what is alive (runtime/debug.SetGCPercent). A session lives as long
// as its agent, beside others; half of Go's 100 takes a sixth off its resident
// memory under load, and costs no time that the benchmark can see.
const sessionGC = 50

type execOptions struct {
	profile   string
	also      []string
	isolation string
	acceptPin bool
	statusFD  int
	command   []string
}

func newExec(a *app) *cobra.Command {
	var o execOptions
	cmd := &cobra.Command{
		Use:   "exec [flags] [--] CMD [ARG...]",
		Short: "run an agent with the profile of this directory",
		Long: `Run an agent with the profile of this directory.

The agent gets placeholders in place of secrets; a proxy inside kb puts the right
credential on each request as it leaves, and on no other.`,
		Example: `  kb exec -- claude
  kb exec -p work --also oss -- bash`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, errors.New("kb exec needs a command to run"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.command = args
			return runExec(cmd.Context(), a, o)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.StringVarP(&o.profile, "profile", "p", "", "profile to use, whatever the rules say")
	flags.StringSliceVar(&o.also, "also", nil, "profile that the session may use as well (repeatable)")
	flags.StringVar(&o.isolation, "isolation", "", "auto, off or hardened (default: the device's setting, else auto)")
	flags.BoolVar(&o.acceptPin, "accept-pin", false, "accept that this directory's profile has changed")
	flags.IntVar(&o.statusFD, "status-fd", -1, `descriptor that gets {"child":CODE}, or {"kb":CODE} when kb refused`)
	return cmd
}

func runExec(ctx context.Context, a *app, o execOptions) error {
	if o.statusFD >= 0 {
		// The child must not hold it, or it could write a status of its own.
		if _, err := unix.FcntlInt(uintptr(o.statusFD), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return hint.Exit(hint.Usage, fmt.Errorf("write status: descriptor %d is not open", o.statusFD),
				fmt.Sprintf("open it in the shell: kb exec --status-fd %d … %d>FILE", o.statusFD, o.statusFD))
		}
	}
	code, err := execute(ctx, a, o)
	key := "child"
	var start *supervisor.StartError
	switch {
	case errors.As(err, &start):
		printError(a.err, advise(err))
		code, key, err = start.Code, "kb", nil
	case err != nil:
		code, key = hint.Code(advise(err)), "kb"
	}
	if o.statusFD >= 0 {
		stopped := ""
		if a.stopped {
			stopped = `,"stopped":true`
		}
		if _, writeErr := fmt.Fprintf(os.NewFile(uintptr(o.statusFD), "status"), "{%q:%d%s}\n", key, code, stopped); writeErr != nil && err == nil {
			err = fmt.Errorf("write status: %w", writeErr)
		}
	}
	a.exit = code
	return err
}

func execute(ctx context.Context, a *app, o execOptions) (int, error) {
	if o.isolation != "" {
		if err := checkTier(o.isolation); err != nil {
			return 0, err
		}
	}
	environ := childEnviron(a.environ)
	if session := a.getenv("KB_SESSION"); session != "" {
		return nested(a, o, environ, session)
	}
	b, err := a.open(ctx, broker.Options{Any: true, Standing: &broker.DecideSpec{Environ: environ, Command: o.command[0]}})
	if err != nil {
		return 0, err
	}
	if o.isolation == "" {
		if o.isolation, err = b.DefaultTier(); err != nil {
			return 0, err
		}
	}
	if err := checkTier(o.isolation); err != nil {
		return 0, err
	}
	reached := o.isolation
	if supervisor.Traced() {
		// Some sandboxes trace all that they run, so only a tier that was
		// asked for by name is refused.
		if o.isolation == tierHardened {
			return 0, hint.Exit(hint.Refused, errors.New("reach isolation \"hardened\": a process traces kb and can read its memory"),
				"end the tracer (strace, a debugger), or use --isolation off")
		}
		fmt.Fprintln(a.err, "kb: a process traces kb and can read its memory")
		reached = tierOff
	}
	spec := broker.SessionSpec{
		Profile: o.profile, Also: o.also, Command: o.command, Environ: environ,
		AcceptPin: o.acceptPin, ConfirmPin: confirmPin, Tier: reached,
	}
	session, err := b.StartSession(ctx, spec)
	if err != nil {
		return 0, err
	}
	defer session.Close()
	for _, line := range session.Notes() {
		fmt.Fprintf(a.err, "kb: %s\n", cleanLines(line))
	}
	// Not at once: the collection that it sets off would slow the child's start.
	saving := time.AfterFunc(time.Second, func() { debug.SetGCPercent(sessionGC) })
	defer saving.Stop()
	if ctx.Err() != nil {
		return 0, hint.Exit(hint.Cancelled, errors.New("start session: a signal came first"), "")
	}
	// From here on signals are the supervisor's to pass on.
	code, err := supervisor.Run(supervisor.Spec{
		Command: o.command, Env: session.Environment(), Caught: a.stop, Started: session.Runs, Stop: session.Stopping(),
		Privileges: o.isolation == tierOff, BeforeStart: closeKeyrings(b, o.isolation),
	})
	if err == nil && session.Stopped() {
		a.stopped = true
		fmt.Fprintf(a.err, "kb: session %s was stopped by a person (kb session stop)\n", session.ID)
		if code == 0 {
			// An agent that tidies up on TERM and says that all is well has not
			// done what it was started for.
			code = 128 + int(syscall.SIGTERM)
		}
	}
	return code, err
}

// closeKeyrings keeps the child from an unlocked identity that the kernel holds
// for kb: it gets a session keyring of its own, and where the identity is held
// at all, no use of keyrings.
func closeKeyrings(b *broker.Broker, tier string) func() error {
	if tier == tierOff || !b.IdentityHeld() {
		return nil
	}
	return func() error {
		if err := state.JoinFreshSessionKeyring(); err != nil {
			return err
		}
		return state.DenyKeyrings()
	}
}

// checkTier refuses a tier that cannot be reached.
func checkTier(tier string) error {
	switch tier {
	case tierAuto, tierOff, tierHardened:
		return nil
	case "hidden", "locked":
		return hint.Exit(hint.Refused, fmt.Errorf("reach isolation %q: this version of kb cannot", tier),
			"use --isolation hardened, the highest there is")
	}
	return hint.Exit(hint.Usage, fmt.Errorf("unknown isolation %q", tier), "use auto, off or hardened")
}

// nested runs the command in the session that kb exec was called in: an agent
// wrapped by a hook, inside a session that wraps a shell.
func nested(a *app, o execOptions, environ []string, session string) (int, error) {
	if o.profile != "" || len(o.also) > 0 || o.acceptPin {
		return 0, hint.Exit(hint.Refused, fmt.Errorf("start a session inside session %s: its profiles are fixed", session),
			"run kb exec in a terminal of your own")
	}
	fmt.Fprintf(a.err, "kb: inside session %s already: %s runs in it\n", session, filepath.Base(o.command[0]))
	a.stop()
	return supervisor.Run(supervisor.Spec{Command: o.command, Env: environ})
}

// confirmPin asks whether a directory's new profile is meant.
func confirmPin(ctx context.Context, change broker.PinChange) (bool, error) {
	tty, err := term.OpenTTY()
	if err != nil {
		return false, err
	}
	defer tty.Close()
	tty.Printf("%s\n", cleanLines(change.String()))
	return tty.Confirm(ctx, "Use profile "+change.New+" here from now on?")
}
