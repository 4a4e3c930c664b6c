package screen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
)

// control is a control client of tmux (CONTROL MODE in tmux(1)): commands are
// lines, answers stand between %begin and %end, and %output tells that the
// program wrote.
type control struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	output chan struct{} // has one element after output

	mu      sync.Mutex // of do
	answers chan answer
}

type answer struct {
	text   string
	failed bool
}

// errEnded says that the server is gone.
var errEnded = errors.New("tmux has ended")

func dial(cmd *exec.Cmd) (*control, error) {
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &control{cmd: cmd, stdin: stdin, output: make(chan struct{}, 1), answers: make(chan answer, 1)}
	go c.read(stdout)
	if a, ok := <-c.answers; !ok || a.failed { // of attach itself
		c.end()
		return nil, fmt.Errorf("attach to tmux: %s", a.text)
	}
	return c, nil
}

// do runs a command and returns what it printed.
func (c *control) do(command string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := io.WriteString(c.stdin, command+"\n"); err != nil {
		return "", errEnded
	}
	a, ok := <-c.answers
	if !ok {
		return "", errEnded
	}
	if a.failed {
		name, _, _ := strings.Cut(command, " ")
		return "", fmt.Errorf("%s: %s", name, strings.TrimSpace(a.text))
	}
	return a.text, nil
}

func (c *control) read(stdout io.Reader) {
	defer close(c.answers)
	lines := bufio.NewReader(stdout)
	var text strings.Builder
	mark := "" // the time, number and flags of the answer that is being read
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch {
		case mark == "" && word == "%begin":
			mark = rest
			text.Reset()
		case mark != "" && rest == mark && (word == "%end" || word == "%error"):
			mark = ""
			c.answers <- answer{text.String(), word == "%error"}
		case mark != "":
			text.WriteString(line)
		case word == "%output":
			select {
			case c.output <- struct{}{}:
			default:
			}
		}
	}
}

// end waits for the client, which has no server any more.
func (c *control) end() {
	_ = c.stdin.Close()
	for range c.answers {
	}
	_ = c.cmd.Wait()
}
