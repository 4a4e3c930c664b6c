package tui

import (
	"fmt"
	"runtime"
	"strings"
	"sync"

	tea "github.com/charmbracelet/bubbletea"
)

// guarded is a Model whose panics, and those of its commands, end the dashboard in
// good order. bubbletea's own catcher prints the panic's value and the arguments
// on the stack before the terminal is as it was, and either may hold what nobody
// should see.
type guarded struct {
	m   *Model
	end func()

	mu    sync.Mutex
	fault error // the first
}

// Init implements tea.Model.
func (g *guarded) Init() tea.Cmd { return g.guard(g.m.Init()) }

// Update implements tea.Model.
func (g *guarded) Update(msg tea.Msg) (_ tea.Model, cmd tea.Cmd) {
	defer g.caught()
	if g.crash() != nil {
		return g, nil // what it holds is not to be relied on
	}
	_, cmd = g.m.Update(msg)
	return g, g.guard(cmd)
}

// sift keeps from the dashboard the seconds that change nothing. It is for
// tea.WithFilter: after every message that comes through, the screen is drawn.
func (g *guarded) sift(_ tea.Model, msg tea.Msg) tea.Msg {
	defer g.caught()
	if _, ok := msg.(ticked); ok && g.m.frame.right(g.m.read()) {
		return nil
	}
	return msg
}

// View implements tea.Model.
func (g *guarded) View() string {
	defer g.caught()
	return g.m.View()
}

// guard makes a command whose panic is caught, and those of the commands that it
// returns.
func (g *guarded) guard(cmd tea.Cmd) tea.Cmd {
	if cmd == nil {
		return nil
	}
	return func() tea.Msg {
		defer g.caught()
		msg := cmd()
		if batch, ok := msg.(tea.BatchMsg); ok {
			for i := range batch {
				batch[i] = g.guard(batch[i])
			}
		}
		return msg
	}
}

// caught notes a panic and ends the dashboard. It is for defer.
func (g *guarded) caught() {
	if value := recover(); value != nil {
		g.crashed(Fault(value))
	}
}

// crashed notes a fault and ends the dashboard.
func (g *guarded) crashed(fault error) {
	g.mu.Lock()
	if g.fault == nil {
		g.fault = fault
	}
	g.mu.Unlock()
	g.end()
}

func (g *guarded) crash() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.fault
}

// thrown is a panic in a goroutine that a command has begun: the command panics
// with it, where it is caught.
type thrown struct{ error }

// Fault is what recover has returned as an error: what the runtime says, or the type
// of what kb or a library threw, and the functions on the stack without their
// arguments. It is called by the function that recovers. A Backend returns it from
// Watch where a goroutine of its own has panicked.
func Fault(value any) error {
	if t, ok := value.(thrown); ok {
		return t.error
	}
	what := fmt.Sprintf("a panic with a %T", value)
	if e, ok := value.(runtime.Error); ok {
		what = e.Error()
	}
	pc := make([]uintptr, 32)
	frames := runtime.CallersFrames(pc[:runtime.Callers(3, pc)])
	var stack strings.Builder
	for {
		f, more := frames.Next()
		if f.Function != "" && !strings.HasPrefix(f.Function, "runtime.") {
			file := f.File[strings.LastIndexByte(f.File, '/')+1:]
			fmt.Fprintf(&stack, "\n  %s (%s:%d)", f.Function, file, f.Line)
		}
		if !more {
			break
		}
	}
	return fmt.Errorf("run dashboard: %s; this is a fault of kb%s", what, stack.String())
}
