package screen

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrMissing says that tmux is not installed.
var ErrMissing = errors.New("tmux is not installed")

// Options are what a terminal is made with.
type Options struct {
	// Args are the program and its arguments.
	Args []string
	// Env is the whole environment; nil means this process's. tmux adds TMUX,
	// and sets TERM to tmux-256color; a TERM that is wanted stands in Term.
	Env []string
	// Term is TERM for the program; empty means tmux-256color.
	Term string
	// Dir is the folder that the program starts in; empty means this process's.
	Dir string
	// Width and Height are in cells; zero means 100 and 30.
	Width, Height int
	// Background is what tmux answers to a program that asks for the colours
	// (OSC 10 and 11): "light", "dark", or "" for no answer.
	Background string
}

// Terminal is a program on a terminal.
type Terminal struct {
	dir     string // of the socket and of what the shell notes
	control *control
	socket  string
	environ []string
}

// ended is the pane's title once tmux has read all that the program wrote: the
// wrapper writes it behind that.
const ended = "the program has ended"

// wrapper notes in $1 what stands before, during and after the program, which
// is the rest. ctrl+c at the terminal reaches the shell too: it goes on.
const wrapper = `dir=$1; shift
stty -g >"$dir/before"
trap : INT QUIT
sh -c 'echo $$ >"$0/pid.new" && mv "$0/pid.new" "$0/pid"; exec "$@"' "$dir" "$@"
echo $? >"$dir/code.new"
stty -g >"$dir/after"
printf '\033]2;` + ended + `\033\\'
mv "$dir/code.new" "$dir/code"
exec sleep 2147483647`

// Open starts a program on a terminal.
func Open(ctx context.Context, o Options) (*Terminal, error) {
	tmux, err := exec.LookPath("tmux")
	if err != nil {
		return nil, ErrMissing
	}
	if o.Width == 0 {
		o.Width = 100
	}
	if o.Height == 0 {
		o.Height = 30
	}
	if o.Term == "" {
		o.Term = "tmux-256color"
	}
	environ := o.Env
	if environ == nil {
		environ = os.Environ()
	}
	// A folder with a short name: a socket's path has 108 bytes (unix(7)).
	dir, err := os.MkdirTemp("", "kbs")
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	t := &Terminal{dir: dir, socket: filepath.Join(dir, "s"), environ: environ}
	if err := t.start(ctx, tmux, o); err != nil {
		return nil, errors.Join(fmt.Errorf("open terminal: %w", err), t.Close())
	}
	return t, nil
}

func (t *Terminal) start(ctx context.Context, tmux string, o Options) error {
	conf := "set -g status off\nset -g default-terminal " + o.Term + "\nset -s escape-time 0\nset -g history-limit 0\nset -g focus-events on\n"
	switch o.Background {
	case "light":
		conf += "set -g window-style fg=#000000,bg=#ffffff\n"
	case "dark":
		conf += "set -g window-style fg=#ffffff,bg=#000000\n"
	}
	file := filepath.Join(t.dir, "conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		return err
	}
	size := []string{"-x", strconv.Itoa(o.Width), "-y", strconv.Itoa(o.Height)}
	args := append([]string{"-u", "-S", t.socket, "-f", file, "new-session", "-d"}, size...)
	args = append(append(args, "--", "sh", "-c", wrapper, "sh", t.dir), o.Args...)
	begin := exec.CommandContext(ctx, tmux, args...)
	begin.Dir, begin.Env = o.Dir, t.environ
	if out, err := begin.CombinedOutput(); err != nil {
		return fmt.Errorf("start tmux: %w: %s", err, strings.TrimSpace(string(out)))
	}
	// Close ends it: ctx may end before the terminal is closed.
	attach := exec.CommandContext(context.WithoutCancel(ctx), tmux, "-u", "-S", t.socket, "-C", "attach")
	attach.Env = t.environ
	var err error
	t.control, err = dial(attach)
	return err
}

// Close ends the program, by hanging up, and the server.
func (t *Terminal) Close() error {
	if t.control != nil {
		_, _ = t.control.do("kill-server") // it hangs up, with no answer
		t.control.end()
	}
	return os.RemoveAll(t.dir)
}

// Send types keys by their names in tmux: "q", "Enter", "C-c", "Escape", "Tab",
// "Up", "PPage", "F1".
func (t *Terminal) Send(keys ...string) error {
	command := "send-keys --"
	for _, k := range keys {
		command += " " + quoted(k)
	}
	_, err := t.control.do(command)
	return err
}

// Type types text as it is; line breaks are enter.
func (t *Terminal) Type(text string) error {
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			if err := t.Send("Enter"); err != nil {
				return err
			}
		}
		if line == "" {
			continue
		}
		if _, err := t.control.do("send-keys -l -- " + quoted(line)); err != nil {
			return err
		}
	}
	return nil
}

// Paste pastes text, in brackets where the program asked for them.
func (t *Terminal) Paste(text string) error {
	file := filepath.Join(t.dir, "paste")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if _, err := t.control.do("load-buffer -b kb " + quoted(file)); err != nil {
		return err
	}
	_, err := t.control.do("paste-buffer -p -r -d -b kb")
	return err
}

// Click presses and releases the left button at a cell, both from 0, the way
// SGR mouse reports do (XTerm Control Sequences, "Extended coordinates").
func (t *Terminal) Click(x, y int) error {
	report := func(end byte) string { return fmt.Sprintf("\x1b[<0;%d;%d%c", x+1, y+1, end) }
	return t.bytes(report('M') + report('m'))
}

// bytes sends what no key has a name for.
func (t *Terminal) bytes(s string) error {
	command := "send-keys -H"
	for _, b := range []byte(s) {
		command += fmt.Sprintf(" %02x", b)
	}
	_, err := t.control.do(command)
	return err
}

// Frame is the screen: lines of text, without spaces at their ends.
func (t *Terminal) Frame() (string, error) { return t.control.do("capture-pane -p") }

// FrameStyled is the screen with its colours, as SGR sequences (ECMA-48); what
// one line sets goes on in the next. Spaces at the ends of lines are there.
func (t *Terminal) FrameStyled() (string, error) { return t.control.do("capture-pane -p -e -N") }

// Resize changes the terminal's size.
func (t *Terminal) Resize(width, height int) error {
	_, err := t.control.do(fmt.Sprintf("resize-window -x %d -y %d", width, height))
	return err
}

// State is what a program switches on and should switch off again.
type State struct {
	Alternate     bool // the alternate screen
	Cursor        bool // the cursor is shown
	Mouse         bool // some mouse reports
	CursorX       int
	CursorY       int
	Width, Height int
}

// State asks tmux for it.
func (t *Terminal) State() (State, error) {
	line, err := t.control.do(`display-message -p "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{cursor_x} #{cursor_y} #{pane_width} #{pane_height}"`)
	if err != nil {
		return State{}, err
	}
	var s State
	var alternate, cursor, mouse int
	if _, err := fmt.Sscan(line, &alternate, &cursor, &mouse, &s.CursorX, &s.CursorY, &s.Width, &s.Height); err != nil {
		return State{}, fmt.Errorf("read state %q: %w", line, err)
	}
	s.Alternate, s.Cursor, s.Mouse = alternate == 1, cursor == 1, mouse == 1
	return s, nil
}

// WaitFor waits until the screen shows what matches, and returns the frame.
func (t *Terminal) WaitFor(pattern string, limit time.Duration) (string, error) {
	want, err := regexp.Compile(pattern)
	if err != nil {
		return "", err
	}
	return t.WaitUntil(want.MatchString, limit)
}

// WaitUntil waits until a frame is so, and returns the frame; the last one with
// an error.
func (t *Terminal) WaitUntil(so func(frame string) bool, limit time.Duration) (string, error) {
	over := time.NewTimer(limit)
	defer over.Stop()
	for {
		frame, err := t.Frame()
		if err != nil || so(frame) {
			return frame, err
		}
		select {
		case <-t.control.output:
		case <-over.C:
			if frame, err = t.Frame(); err == nil && !so(frame) {
				err = fmt.Errorf("not there after %v", limit)
			}
			return frame, err
		}
	}
}

// note reads what the wrapper wrote, once it is there.
func (t *Terminal) note(name string, limit time.Duration) (string, error) {
	over := time.Now().Add(limit)
	for {
		b, err := os.ReadFile(filepath.Join(t.dir, name))
		if err == nil {
			return strings.TrimSpace(string(b)), nil
		}
		if time.Now().After(over) {
			return "", fmt.Errorf("no %s after %v", name, limit)
		}
		time.Sleep(5 * time.Millisecond) // a file, of which nothing tells
	}
}

// PID is the program's.
func (t *Terminal) PID() (int, error) {
	text, err := t.note("pid", 10*time.Second)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// Signal sends the program a signal.
func (t *Terminal) Signal(s syscall.Signal) error {
	pid, err := t.PID()
	if err != nil {
		return err
	}
	return syscall.Kill(pid, s)
}

// WaitEnd waits for the program's end, and until all that it wrote is on the
// screen. It returns its code, 128 and more for a signal.
func (t *Terminal) WaitEnd(limit time.Duration) (code int, err error) {
	over := time.Now().Add(limit)
	text, err := t.note("code", limit)
	if err != nil {
		return 0, err
	}
	for {
		title, err := t.control.do(`display-message -p "#{pane_title}"`)
		if err != nil {
			return 0, err
		}
		if strings.TrimSpace(title) == ended {
			return strconv.Atoi(text)
		}
		left := time.Until(over)
		if left <= 0 {
			return 0, fmt.Errorf("the screen lacks what the program wrote last, after %v", limit)
		}
		t.await(left)
	}
}

// await waits for output, at most so long.
func (t *Terminal) await(limit time.Duration) {
	over := time.NewTimer(limit)
	defer over.Stop()
	select {
	case <-t.control.output:
	case <-over.C:
	}
}

// Left says, after the program's end, what it left switched on, or "".
func (t *Terminal) Left() (string, error) {
	before, err := t.note("before", 0)
	if err != nil {
		return "", err
	}
	after, err := t.note("after", 0)
	if err != nil {
		return "", err
	}
	s, err := t.State()
	if err != nil {
		return "", err
	}
	var left []string
	for what, is := range map[string]bool{
		"the terminal's settings are " + after + ", were " + before: after != before,
		"the alternate screen is on":                                s.Alternate,
		"the cursor is hidden":                                      !s.Cursor,
		"the mouse is reported":                                     s.Mouse,
	} {
		if is {
			left = append(left, what)
		}
	}
	return strings.Join(left, "; "), nil
}

// quoted is s as one word of tmux's own language ("Parsing syntax", tmux(1)).
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" }
