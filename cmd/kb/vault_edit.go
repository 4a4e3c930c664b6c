package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/term"
)

// maxEdits bounds how often a text that is wrong is handed back: an editor that
// is a script might break it anew each time.
const maxEdits = 20

func newVaultEdit(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "edit",
		Short: "edit profiles and rules as text, in $EDITOR",
		Long: `Edit the part of the vault that holds no secret as text, in $VISUAL or $EDITOR:
profiles, rules, and the default profile. Logins and definitions of your own are
named in it and changed by their own verbs.

kb shows what changed, by name, and asks before it saves. What is wrong with the
text is said at its top, and it is opened again; leave it as it is, or empty, to
give up. What another kb changes in the vault meanwhile stays.`,
		Example: `  kb vault edit
  EDITOR="sed -i s/old.example/new.example/" kb vault edit --yes`,
		Args: noArgs,
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error {
			return runVaultEdit(cmd.Context(), a, yes)
		}),
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "save without asking, for scripts")
	return cmd
}

func runVaultEdit(ctx context.Context, a *app, yes bool) error {
	b, err := a.broker(ctx)
	if err != nil {
		return err
	}
	shown := b.Text()
	dir, remove, err := b.ScratchDir()
	if err != nil {
		return err
	}
	defer remove()
	change, err := a.editText(ctx, shown, filepath.Join(dir, "vault.toml"))
	if err != nil {
		return err
	}
	if change.Empty() {
		fmt.Fprintln(a.err, "nothing changed")
		return nil
	}
	for _, line := range change.Lines() {
		fmt.Fprintln(a.err, cleanLines(line))
	}
	if !yes {
		if err := confirmEdit(ctx, b); err != nil {
			return err
		}
	}
	if err := b.Apply(ctx, change); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "vault %s saved\n", b.VaultName())
	return nil
}

func confirmEdit(ctx context.Context, b *broker.Broker) error {
	tty, err := term.OpenTTY()
	if err != nil {
		return hint.Exit(hint.Human, errors.New("edit vault: no terminal to ask on; nothing was saved"), "run kb vault edit in a terminal, or with --yes")
	}
	defer tty.Close()
	sure, err := tty.Confirm(ctx, fmt.Sprintf("Save this to vault %s?", b.VaultName()))
	if err != nil {
		return hint.Exit(hint.Cancelled, fmt.Errorf("edit vault: %w", err), "")
	}
	if !sure {
		return hint.Exit(hint.Cancelled, errors.New("edit vault: declined; nothing was saved"), "")
	}
	return nil
}

// editText opens the text in the editor until it is right or given up.
func (a *app) editText(ctx context.Context, shown *broker.VaultText, path string) (*broker.VaultChange, error) {
	text := shown.Bytes()
	for range maxEdits {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return nil, fmt.Errorf("write text to edit: %w", err)
		}
		if err := a.runEditor(ctx, path); err != nil {
			return nil, err
		}
		edited, err := os.ReadFile(path)
		if err != nil {
			return nil, hint.Exit(hint.Cancelled, fmt.Errorf("read edited text: %w", err), "nothing was saved")
		}
		if len(bytes.TrimSpace(edited)) == 0 {
			return nil, hint.Exit(hint.Cancelled, errors.New("edit vault: the text is empty; nothing was saved"), "")
		}
		change, err := shown.Parse(withoutComplaints(edited))
		var wrong *broker.TextError
		if !errors.As(err, &wrong) {
			return change, err
		}
		if bytes.Equal(edited, text) {
			return nil, hint.Exit(hint.Cancelled, fmt.Errorf("edit vault: %w; nothing was saved", err), "run kb vault edit again")
		}
		text = withComplaints(withoutComplaints(edited), wrong)
	}
	return nil, hint.Exit(hint.Cancelled, errors.New("edit vault: the text is still wrong; nothing was saved"), "run kb vault edit again")
}

// complaintMark begins the lines at the top of a text that say what is wrong
// with it.
const complaintMark = "#! "

// withComplaints puts what is wrong on top. Lines are counted in the file as
// the person then sees it.
func withComplaints(text []byte, wrong *broker.TextError) []byte {
	var head bytes.Buffer
	lines := len(wrong.Problems) + 1
	for _, p := range wrong.Problems {
		if p.Line > 0 {
			p.Line += lines
		}
		head.WriteString(complaintMark + strings.ReplaceAll(cleanLines(p.String()), "\n", " ") + "\n")
	}
	head.WriteString(complaintMark + "Mend it; or leave it as it is, or empty, to give up.\n")
	return append(head.Bytes(), text...)
}

func withoutComplaints(text []byte) []byte {
	for bytes.HasPrefix(text, []byte(complaintMark)) {
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return text
}

// runEditor runs the user's editor on a file, through the shell as git does:
// the variable may hold arguments.
func (a *app) runEditor(ctx context.Context, path string) error {
	editor := a.getenv("VISUAL")
	if editor == "" {
		editor = a.getenv("EDITOR")
	}
	if editor == "" {
		if !isTerminal(a.in) {
			return hint.Exit(hint.Human, errors.New("edit vault: no terminal to edit on"), "run kb vault edit in a terminal, or name an editor that needs none in EDITOR")
		}
		editor = "vi"
	}
	// Ctrl+c is the editor's: kb waits for what it makes of it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), "/bin/sh", "-c", editor+` "$@"`, editor, path)
	cmd.Env = childEnviron(a.environ)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.in, a.out, a.err
	err := cmd.Run()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return ctx.Err()
	case errors.As(err, &ended) && ended.ExitCode() != 126 && ended.ExitCode() != 127:
		return hint.Exit(hint.Cancelled, fmt.Errorf("edit vault: the editor ended with code %d; nothing was saved", ended.ExitCode()), "")
	}
	return hint.Exit(hint.Failure, fmt.Errorf("run editor %q: %w", editor, err), "name an editor in EDITOR or VISUAL")
}
