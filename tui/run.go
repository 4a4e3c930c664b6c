package tui

import (
	"context"

	tea "github.com/charmbracelet/bubbletea"
)

// Run shows the dashboard until a person leaves it or ctx ends. The terminal is
// as it was on every way out.
func Run(ctx context.Context, o Options) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m, err := New(ctx, o)
	if err != nil {
		return err
	}
	p := tea.NewProgram(m, tea.WithContext(ctx), tea.WithAltScreen(), tea.WithMouseCellMotion())
	watching := make(chan error, 1)
	go func() {
		watching <- o.Backend.Watch(ctx, func(c Change) { p.Send(c) })
	}()
	following := make(chan struct{})
	go func() {
		defer close(following)
		follow(ctx, o.Backend, p.Send)
	}()
	_, err = p.Run()
	cancel()
	<-watching
	<-following
	return err
}
