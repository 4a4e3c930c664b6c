package term

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"github.com/cli/browser"
)

// Desktop is where a browser could be opened. Its fields are what the choice
// reads.
type Desktop struct {
	Getenv func(string) string
	System string // as runtime.GOOS; empty means this one
}

// Browser reports whether a browser that is opened here is seen by the person,
// and why. Over SSH it would open on the far machine, if at all.
func (d Desktop) Browser() (ok bool, reason string) {
	system := d.System
	if system == "" {
		system = runtime.GOOS
	}
	switch {
	case d.SSH():
		return false, "this is a session over SSH"
	case len(d.program()) > 0:
		return true, "BROWSER names one"
	case system == "darwin":
		return true, "macOS has one"
	case d.Getenv("DISPLAY") != "" || d.Getenv("WAYLAND_DISPLAY") != "":
		return true, "there is a desktop"
	case d.Getenv("WSL_DISTRO_NAME") != "": // WSL without its own desktop; wslview opens the one of Windows
		return true, "Windows has one"
	}
	return false, "there is no desktop here"
}

// SSH reports whether the terminal is at the other end of an SSH connection
// (ssh(1), ENVIRONMENT).
func (d Desktop) SSH() bool { return d.Getenv("SSH_CONNECTION") != "" || d.Getenv("SSH_TTY") != "" }

// program is the command in BROWSER, which stands before the system's choice,
// as with gh and git: words, to which the address is added.
func (d Desktop) program() []string { return strings.Fields(d.Getenv("BROWSER")) }

// Open shows an https address in the person's browser. It returns when the
// program that opens it does, which may be when the browser ends. What that
// prints is not shown.
func (d Desktop) Open(ctx context.Context, address string) error {
	// An address that begins with a dash, or names a file, is none of a login.
	if !strings.HasPrefix(address, "https://") {
		return errors.New("open browser: not an https address")
	}
	if program := d.program(); len(program) > 0 {
		cmd := exec.CommandContext(ctx, program[0], append(program[1:], address)...) //nolint:gosec // the person's own choice
		// ctrl+c at kb's prompt is not meant for the browser.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("open browser %q: %w", program[0], err)
		}
		return nil
	}
	browser.Stdout, browser.Stderr = io.Discard, io.Discard
	if err := browser.OpenURL(address); err != nil {
		return fmt.Errorf("open browser: %w", err)
	}
	return nil
}
