package tui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// handOver leaves the screen to kb with arguments, for what speaks with a person on
// the terminal by itself, and comes back when a person has read what it said.
func (s *shared) handOver(args ...string) tea.Cmd {
	what := "kb " + strings.Join(args, " ")
	g := &guest{ctx: s.ctx, cmd: s.backend.Command(args...), what: what, hosting: &s.hosting}
	return tea.Exec(g, func(err error) tea.Msg {
		if err != nil {
			return done{what: what, err: err}
		}
		return done{what: what, note: what + " is done"}
	})
}

// guest is a command that has the terminal for a while. It implements
// tea.ExecCommand.
type guest struct {
	ctx     context.Context // the dashboard's life
	cmd     *exec.Cmd
	what    string
	hosting *atomic.Bool // set while it runs
	in      io.Reader
	out     io.Writer
}

// SetStdin implements tea.ExecCommand. The command gets the terminal itself.
func (g *guest) SetStdin(r io.Reader) {
	if f, ok := r.(*bounded); ok {
		r = f.File
	}
	g.in = r
}

// SetStdout implements tea.ExecCommand. The command gets the terminal itself.
func (g *guest) SetStdout(w io.Writer) {
	if f, ok := w.(*sharedFile); ok {
		w = f.File
	}
	g.out = w
}

// SetStderr implements tea.ExecCommand. What it says goes where its output goes:
// the terminal, whatever the dashboard's own standard error is.
func (g *guest) SetStderr(io.Writer) {}

// Run implements tea.ExecCommand: the command, and then enter.
func (g *guest) Run() error {
	g.hosting.Store(true)
	defer g.hosting.Store(false)
	g.cmd.Stdin, g.cmd.Stdout, g.cmd.Stderr = g.in, g.out, g.out
	fmt.Fprintf(g.out, "$ %s\n", draw.Clean(g.what)) // profiles are named by whoever wrote the vault
	err := g.cmd.Start()
	if err == nil {
		stop := context.AfterFunc(g.ctx, func() { _ = g.cmd.Process.Signal(syscall.SIGTERM) })
		err = g.cmd.Wait()
		stop()
	}
	end := "done"
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		end = fmt.Sprintf("exit code %d", exit.ExitCode())
	case err != nil:
		end = err.Error()
	}
	fmt.Fprintf(g.out, "\n[%s] press enter to go back to the dashboard ", end)
	pressed := make(chan struct{})
	go func() {
		defer close(pressed)
		_, _ = bufio.NewReaderSize(g.in, 16).ReadString('\n')
	}()
	select {
	case <-pressed:
	case <-g.ctx.Done(): // kb ends, and its reading with it
	}
	return err
}
