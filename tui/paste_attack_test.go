package tui

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// through reads a text as bubbletea does, in pieces of at most 256 bytes.
func through(t *testing.T, text string, piece int) string {
	t.Helper()
	b := &bounded{}
	var out bytes.Buffer
	p := make([]byte, 256)
	for len(text) > 0 {
		n := copy(p[:min(piece, len(p))], text)
		text = text[n:]
		got := b.cut(p, n)
		out.Write(p[:got])
	}
	if bytes.ContainsFunc(b.taken[:cap(b.taken)], func(r rune) bool { return r != 0 }) {
		t.Error("what was read stays in memory")
	}
	return out.String()
}

// TestPasteIsCut: a paste passes as it is, up to what a field takes; what comes
// behind it passes always.
func TestPasteIsCut(t *testing.T) {
	t.Parallel()
	short := "j\x1b[A" + pasteStart + "a\x1b[20\x1b[200~b\r\n€" + pasteEnd + "k" + pasteStart + pasteEnd + "\x1b[200q"
	for _, piece := range []int{1, 2, 5, 7, 255, 256} {
		if got := through(t, short, piece); got != short {
			t.Errorf("pieces of %d: %q", piece, got)
		}
		for _, more := range []string{"x", "\x1b", "\x1b[201", "\x1b[", "\x1b[200~"} {
			long := strings.Repeat(more, 3*maxPaste/len(more)/2)
			got := through(t, "j"+pasteStart+long+pasteEnd+"k"+pasteStart+"z"+pasteEnd, piece)
			if !strings.HasPrefix(got, "j"+pasteStart+more) || !strings.HasSuffix(got, pasteEnd+"k"+pasteStart+"z"+pasteEnd) {
				t.Errorf("pieces of %d, %q: %q … %q", piece, more, got[:20], got[len(got)-40:])
			}
			if n := len(got); n > maxPaste+300 || n < maxPaste {
				t.Errorf("pieces of %d, %q: %d bytes pass", piece, more, n)
			}
		}
	}
}

// pasteProgram quits at "q".
type pasteProgram struct{ runes int }

func (p *pasteProgram) Init() tea.Cmd { return nil }
func (p *pasteProgram) View() string  { return "" }

func (p *pasteProgram) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if key, ok := msg.(tea.KeyMsg); ok {
		if p.runes += len(key.Runes); key.String() == "q" {
			return p, tea.Quit
		}
	}
	return p, nil
}

// TestAttackPasteOfMegabytes: somebody has put 16 MB into the clipboard. The key
// after the paste counts soon.
func TestAttackPasteOfMegabytes(t *testing.T) {
	t.Parallel()
	in, terminal, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	go func() {
		defer terminal.Close()
		_, _ = io.WriteString(terminal, pasteStart+strings.Repeat("0123456789abcdef", 1<<20)+pasteEnd)
		_, _ = io.WriteString(terminal, "q")
	}()
	model := &pasteProgram{}
	p := tea.NewProgram(model, tea.WithInput(&bounded{File: in}), tea.WithoutRenderer(), tea.WithoutSignalHandler())
	ended := make(chan error, 1)
	go func() { _, err := p.Run(); ended <- err }()
	select {
	case err := <-ended:
		if err != nil || model.runes < maxPaste {
			t.Errorf("%d letters came: %v", model.runes, err)
		}
	case <-time.After(20 * time.Second):
		p.Kill()
		t.Error("the key after the paste does not count")
	}
}

// TestAttackPasteAndClicks: neither a paste of a megabyte nor a flood of what the
// mouse does holds the dashboard up, approves anything, or shows what was pasted
// into a masked field.
func TestAttackPasteAndClicks(t *testing.T) {
	t.Parallel()
	c := asked(t, 100, 30, request("a1", "api.linear.app"), request("a2", "api.linear.app"))
	huge := strings.Repeat("a\rs\x1bA ", maxPaste/7)
	begun := time.Now()
	for _, key := range []string{"", "/", ":", "?", "enter"} {
		if key != "" {
			c.key(key)
		}
		c.paste(huge)
		c.frame()
		c.key("esc", "esc")
	}
	for i := range 20_000 {
		button := []tea.MouseButton{tea.MouseButtonLeft, tea.MouseButtonWheelDown, tea.MouseButtonRight, tea.MouseButtonMiddle}[i%4]
		c.m.Update(tea.MouseMsg{X: i * 7 % 100, Y: i * 3 % 30, Button: button, Action: tea.MouseAction(i % 3)})
	}
	c.frame()
	c.did(t)
	b, f := openForm(t, 60, 20)
	f.act = func(values) tea.Cmd { return nil }
	b.press("work", "enter", "oss, x", "enter", " ", "enter", "enter")
	b.paste(strings.Repeat(canary, maxPaste/len(canary)+9))
	frame := b.frame()
	if strings.Contains(frame, "canary") || f.masks[f.at].empty() { // not empty is the positive control
		t.Errorf("after a paste into a masked field:\n%s", frame)
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	c.key("6")
	c.pass(time.Second)
	c.key("a") // and it works still
	if len(c.f.done()) != 1 {
		t.Errorf("did %q", c.f.done())
	}
}
