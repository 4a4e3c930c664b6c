package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/creack/pty"
)

// typing is the program "typing FILE COMMAND…": COMMAND on a terminal where a
// person types what FILE holds, then ctrl+d. What the terminal showed is in
// $WORK/screen when it ends; the rest, its code too, is COMMAND's own. With
// -stdin before FILE the terminal is its standard input too.
//
// testscript's own ttyin closes the terminal as soon as the command has ended,
// and may lose what was shown last. This reads until nothing can come any more.
func typing() {
	args, stdin := os.Args[1:], false
	if args[0] == "-stdin" {
		args, stdin = args[1:], true
	}
	code, err := typeInto(args[0], stdin, exec.Command(args[1], args[2:]...)) //nolint:noctx // ends with the script
	if err != nil {
		fmt.Fprintln(os.Stderr, "typing:", err)
		os.Exit(120)
	}
	os.Exit(code)
}

func typeInto(file string, stdin bool, cmd *exec.Cmd) (code int, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	ours, theirs, err := pty.Open()
	if err != nil {
		return 0, err
	}
	defer func() { _ = ours.Close() }()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if stdin {
		cmd.Stdin = theirs
	}
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 3}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if err := theirs.Close(); err != nil {
		return 0, err
	}
	go func() {
		const ctrlD = 4
		_, _ = ours.Write(append(text, ctrlD))
	}()
	// On Linux the read ends with EIO when nobody holds the terminal any more.
	shown, _ := io.ReadAll(ours)
	if err := os.WriteFile(filepath.Join(os.Getenv("WORK"), "screen"), shown, 0o600); err != nil {
		return 0, err
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return cmd.ProcessState.ExitCode(), nil
}
