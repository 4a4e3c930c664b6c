package tui

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// Run shows the dashboard until a person leaves it or ctx ends; then it returns
// ctx' error. The terminal is as it was on every way out: q, ctrl+c, SIGTERM,
// SIGHUP, a panic.
//
// While another program has the terminal (handOver), the end of ctx does not
// count: main's ends with SIGINT, which ctrl+c there sends to every process of the
// terminal. SIGTERM and SIGHUP end both.
func Run(ctx context.Context, o Options) error {
	if o.In == nil {
		o.In = os.Stdin
	}
	if o.Out == nil {
		o.Out = os.Stdout
	}
	out := &sharedFile{File: o.Out}
	if o.Clipboard == nil && os.Getenv("TERM") != "linux" { // the console knows no OSC 52 and shows it
		o.Clipboard = out.setClipboard
	}
	life, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	m, err := New(life, o)
	if err != nil {
		return err
	}
	// bubbletea asks for the size beside its first paint: what is there by then is shown
	// a sixtieth of a second earlier.
	if w, h, err := term.GetSize(int(o.Out.Fd())); err == nil {
		m.resize(w, h)
	}
	defer context.AfterFunc(ctx, func() {
		if !m.hosting.Load() {
			end(ctx.Err())
		}
	})()
	defer onSignals(func() { end(context.Canceled) }, syscall.SIGTERM, syscall.SIGHUP)()

	g := &guarded{m: m, end: func() { end(errCrashed) }}
	p := tea.NewProgram(g, tea.WithAltScreen(), tea.WithMouseCellMotion(),
		tea.WithInput(&bounded{File: o.In}), tea.WithOutput(out), tea.WithoutSignalHandler(), tea.WithFilter(g.sift))
	// A program that is killed, and one whose context ends, does not wait for its
	// reader of keys and closes what that one reads from. One that quits does.
	defer context.AfterFunc(life, p.Quit)()
	var behind sync.WaitGroup
	behind.Go(func() {
		defer g.caught()
		m.afterFirstFrame(life)
		if fault := o.Backend.Watch(life, func(c Change) { p.Send(c) }); fault != nil {
			g.crashed(fault)
		}
	})
	behind.Go(func() {
		defer g.caught()
		m.afterFirstFrame(life)
		follow(life, o.Backend, p.Send)
	})
	behind.Go(func() {
		defer g.caught()
		m.afterFirstFrame(life)
		tick(life, m.second, p.Send)
	})
	_, err = p.Run()
	cause := context.Cause(life)
	end(nil)
	behind.Wait()
	switch crash := g.crash(); {
	case crash != nil:
		return crash
	case cause != nil:
		return cause
	}
	return err
}

var errCrashed = errors.New("the dashboard crashed")

// tick sends a message each second, until ctx ends.
func tick(ctx context.Context, second time.Duration, send func(tea.Msg)) {
	each := time.NewTicker(second)
	defer each.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-each.C:
			send(ticked{})
		}
	}
}

// onSignals calls f when one of signals comes, until stop is called.
func onSignals(f func(), signals ...os.Signal) (stop func()) {
	ch, over := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(ch, signals...)
	go func() {
		select {
		case <-ch:
			f()
		case <-over:
		}
	}()
	return func() { signal.Stop(ch); close(over) }
}

// sharedFile is the terminal, which the renderer and the clipboard both write to.
type sharedFile struct {
	*os.File
	mu sync.Mutex
}

func (f *sharedFile) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.File.Write(b)
}

// setClipboard asks the terminal to take a text (OSC 52 of xterm's control
// sequences).
func (f *sharedFile) setClipboard(text string) error {
	if _, err := f.Write([]byte(ansi.SetSystemClipboard(text))); err != nil {
		return fmt.Errorf("write to terminal: %w", err)
	}
	return nil
}

// afterFirstFrame waits until the first frame is there, or ctx ends.
func (m *Model) afterFirstFrame(ctx context.Context) {
	select {
	case <-m.drawn:
	case <-ctx.Done():
	}
}
