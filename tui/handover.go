package tui

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// handOver leaves the screen to kb with arguments, for what speaks with a person on
// the terminal by itself, and comes back when a person has read what it said.
func (s *shared) handOver(args ...string) tea.Cmd {
	what := "kb " + strings.Join(args, " ")
	return tea.Exec(&guest{Cmd: s.backend.Command(args...), what: what}, func(err error) tea.Msg {
		if err != nil {
			return done{what: what, err: err}
		}
		return done{what: what, note: what + " is done"}
	})
}

// guest is a command that has the terminal for a while. It implements
// tea.ExecCommand.
type guest struct {
	*exec.Cmd
	what string
	in   io.Reader
	out  io.Writer
}

// SetStdin implements tea.ExecCommand.
func (g *guest) SetStdin(r io.Reader) {
	g.in = r
	if g.Stdin == nil {
		g.Stdin = r
	}
}

// SetStdout implements tea.ExecCommand.
func (g *guest) SetStdout(w io.Writer) {
	g.out = w
	if g.Stdout == nil {
		g.Stdout = w
	}
}

// SetStderr implements tea.ExecCommand.
func (g *guest) SetStderr(w io.Writer) {
	if g.Stderr == nil {
		g.Stderr = w
	}
}

// Run implements tea.ExecCommand: the command, and then enter.
func (g *guest) Run() error {
	fmt.Fprintf(g.out, "$ %s\n", g.what)
	err := g.Cmd.Run()
	end := "done"
	if err != nil {
		end = err.Error()
	}
	fmt.Fprintf(g.out, "\n[%s] press enter to go back to the dashboard ", end)
	_, _ = bufio.NewReaderSize(g.in, 16).ReadString('\n')
	return err
}
