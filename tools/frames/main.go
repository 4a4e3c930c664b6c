// Command frames draws docs/frames/*.svg: what kb shows on a terminal.
//
//	go -C tools run ./frames            builds kb and draws every frame
//	go -C tools run ./frames -kb PROGRAM -out DIR
//	go -C tools run ./frames -run 'vi -u NONE' -out DIR    any program's first frame
//
// Nothing in a frame is drawn by hand. The real kb runs in tmux
// (kb/internal/screen) in a home that was made for it with kb's own verbs, keys
// are typed, and what tmux then has on its screen becomes an SVG whose text can
// be selected. The same screen makes the same bytes; a new run differs where
// the screen does: times and ids.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kb/internal/screen"
)

func main() {
	kb := flag.String("kb", "", "kb to run; default: built from the repository that this is in")
	out := flag.String("out", "../docs/frames", "folder to write to")
	program := flag.String("run", "", "another command, of which the frame after a second is drawn")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *kb, *out, *program)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "frames:", err)
		os.Exit(1)
	}
}

// inside names the variable that says that this process is in the namespace
// whose /home is the world's own.
const inside = "KB_FRAMES_INSIDE"

func run(ctx context.Context, kb, out, program string) error {
	if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // documents
		return err
	}
	if program != "" {
		return anything(ctx, out, strings.Fields(program))
	}
	if os.Getenv(inside) == "" {
		return enter(ctx, kb, out)
	}
	// Before /home is covered, where out may be.
	folder, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	if err := cover(); err != nil {
		return err
	}
	w, err := newWorld(ctx, "/home", kb)
	if err != nil {
		return err
	}
	defer w.end()
	// A scene that fails leaves its old picture, and the others are drawn.
	var failed []error
	for _, s := range scenes {
		if err := w.play(ctx, s, folder); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return errors.Join(failed...)
}

// enter builds kb where none is given, and runs this program again in mount and
// user namespaces of its own: the frames show paths of a home, not of this
// machine.
func enter(ctx context.Context, kb, out string) error {
	dir, err := os.MkdirTemp("", "kbf")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program := filepath.Join(dir, "kb")
	if kb == "" {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "./cmd/kb")
		build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build kb: %w\n%s", err, text)
		}
	} else if content, err := os.ReadFile(kb); err != nil {
		return err
	} else if err := os.WriteFile(program, content, 0o700); err != nil { //nolint:gosec // a program
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	again := exec.CommandContext(ctx, "unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--", self, "-kb", program, "-out", out)
	again.Env = append(os.Environ(), inside+"=1")
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	again.Cancel = func() error { return again.Process.Signal(os.Interrupt) }
	return again.Run()
}

// patience is how long a screen may take to show what a scene waits for.
const patience = 15 * time.Second

// scene is a way to one or more frames.
type scene struct {
	name          string // of the file, without its end
	title         string
	width, height int    // zero: 100 and 30
	theme         string // "" is dark
	home          string // of the world; "" is the full one
	steps         []step
}

// step types keys and waits for what is to be there then.
type step struct {
	keys []string
	text string // typed after keys
	wait string // regular expression on the frame
}

func (w *world) play(ctx context.Context, s scene, out *os.Root) error {
	if s.theme == "" {
		s.theme = "dark"
	}
	if s.width == 0 {
		s.width, s.height = 100, 30
	}
	// As terminals with a light background tell it (rxvt's COLORFGBG).
	background := map[string]string{"dark": "15;0", "light": "0;15"}[s.theme]
	t, err := screen.Open(ctx, screen.Options{
		Args: []string{w.kb}, Env: append(w.environ(s.home), "COLORFGBG="+background), Dir: w.repo(s.home), Width: s.width, Height: s.height, Background: s.theme,
	})
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }()
	for _, step := range s.steps {
		if len(step.keys) > 0 {
			if err := t.Send(step.keys...); err != nil {
				return err
			}
		}
		if err := t.Type(step.text); err != nil {
			return err
		}
		if frame, err := t.WaitFor(step.wait, patience); err != nil {
			return fmt.Errorf("wait for %q: %w; the screen shows:\n%s", step.wait, err, frame)
		}
	}
	if err := still(t); err != nil {
		return err
	}
	if err := write(t, out, s); err != nil {
		return err
	}
	if err := t.Send("C-c"); err != nil {
		return err
	}
	if _, err := t.WaitEnd(patience); err != nil {
		return err
	}
	left, err := t.Left()
	if err == nil && left != "" {
		err = fmt.Errorf("kb left the terminal so: %s", left)
	}
	return err
}

// still waits until the screen is the same for a while: what loads is there, and
// no half of a repaint is drawn.
func still(t *screen.Terminal) error {
	const calm, tick = 4, 60 * time.Millisecond
	last, same := "", 0
	for end := time.Now().Add(3 * time.Second); same < calm && time.Now().Before(end); time.Sleep(tick) {
		frame, err := t.FrameStyled()
		if err != nil {
			return err
		}
		if frame != last {
			last, same = frame, 0
			continue
		}
		same++
	}
	return nil // a screen with a clock in it is never still
}

func write(t *screen.Terminal, out *os.Root, s scene) error {
	frame, err := t.FrameStyled()
	if err != nil {
		return err
	}
	grid, err := parse(frame, s.width, s.height)
	if err != nil {
		return err
	}
	fmt.Println(s.name + ".svg")
	return out.WriteFile(s.name+".svg", []byte(draw(grid, themes[s.theme], s.title)), 0o644)
}

// anything draws the first frame of any program, to look at the renderer.
func anything(ctx context.Context, out string, args []string) error {
	folder, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	t, err := screen.Open(ctx, screen.Options{Args: args, Background: "dark"})
	if err != nil {
		return err
	}
	defer func() { _ = t.Close() }()
	if err := still(t); err != nil {
		return err
	}
	name := filepath.Base(args[0])
	return write(t, folder, scene{name: name, title: name, width: 100, height: 30, theme: "dark"})
}
