package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/hint"
	"kb/tui/draw"
)

func (d *loginDialog) waitingBar() string {
	switch {
	case d.ending:
		return "esc leave without waiting for the end"
	case d.typing:
		return "enter hand it over  esc back"
	}
	words := []string{"esc cancel"}
	if d.step.URL != "" {
		words = append(words, "y copy the address")
	}
	if d.step.Code != "" {
		words = append(words, "c copy the code")
	}
	if d.step.Paste {
		words = append(words, "p paste an address")
	}
	if d.step.URL != "" {
		words = append(words, "o open it here")
	}
	return strings.Join(words, "  ")
}

// waitingKey takes a key while the login is being made. What is pasted goes into
// the field for it, whatever has the focus: a letter of an address must do nothing
// else.
func (d *loginDialog) waitingKey(msg tea.KeyMsg) (tea.Cmd, bool) {
	if msg.Paste && d.step.Paste {
		d.typing = true
	}
	if d.typing {
		switch msg.Type {
		case tea.KeyEnter:
			if !d.paste.empty() {
				replace(d.flow.pasted, d.paste.take())
			}
			d.typing, d.step.Problem = false, ""
		case tea.KeyEsc:
			d.paste.wipe()
			d.typing = false
		default:
			d.paste.key(msg)
		}
		return nil, false
	}
	if msg.Paste {
		return nil, false
	}
	switch key := msg.String(); {
	case key == "esc" && d.ending:
		return nil, true
	case key == "esc":
		d.ending = true
		d.flow.cancel()
	case key == "y" && d.step.URL != "":
		return copied(d.step.URL), false
	case key == "c" && d.step.Code != "":
		return copied(d.step.Code), false
	case key == "o" && d.step.URL != "":
		return d.visit(d.step.URL), false
	case key == "p" && d.step.Paste:
		d.typing = true
	}
	return nil, false
}

func (d *loginDialog) view(w, h int) []string {
	switch d.page {
	case loginAsks:
		if d.inner == nil {
			return nil
		}
		return d.inner.view(w, h)
	case loginLooks:
		return []string{d.theme.Paint(draw.Working, d.theme.Fit("~ looking up what "+draw.Clean(d.want.Provider)+" needs", w))}
	case loginWaits:
		return d.viewWaiting(w, h)
	}
	return d.viewEnd(w, h)
}

// viewWaiting shows what a person has to do elsewhere: the address in full width,
// so that it can be marked and copied, and below it the code with its picture.
// Where there is no room for all, the picture goes first and what is last of the
// rest.
func (d *loginDialog) viewWaiting(w, h int) []string {
	t, s := d.theme, &d.step
	text := "~ " + draw.Clean(s.Text)
	switch {
	case d.ending:
		text = "~ cancelling"
	case s.Text == "":
		text = "~ asking " + draw.Clean(d.want.Provider)
	}
	if !s.Until.IsZero() && !d.ending {
		text += ", " + d.countdown(s.Until) + " left"
	}
	var lines []string
	for _, line := range draw.Wrap(text, w) {
		lines = append(lines, t.Paint(draw.Working, t.Fit(line, w)))
	}
	lines = append(lines, d.address(w)...)
	side := 0
	for _, line := range s.QR {
		side = max(side, draw.Width(line))
	}
	// A code and what goes with it want 24 cells.
	if side == 0 || t.ASCII() || w-side-2 < 24 || len(lines)+len(s.QR) > h {
		lines = append(lines, d.typed(w)...)
		return lines[:min(len(lines), max(0, h))]
	}
	left := d.typed(w - side - 2)
	for i := range max(len(left), len(s.QR)) {
		line, picture := t.Fit("", w-side-2), ""
		if i < len(left) {
			line = left[i]
		}
		if i < len(s.QR) {
			picture = t.Picture(draw.Pad(s.QR[i], side))
		}
		lines = append(lines, draw.Pad(line+"  "+picture, w))
	}
	return lines[:min(len(lines), h)]
}

// address is the page to open, in a line of its own where it has room in one.
func (d *loginDialog) address(w int) []string {
	t, s := d.theme, &d.step
	if s.URL == "" {
		return nil
	}
	head := "open this page"
	if s.Opened {
		head = "your browser opens this page"
	}
	url := draw.Clean(s.URL)
	if n := draw.Width(head) + 2; n+draw.Width(url) <= w {
		return []string{t.Fit("", w), t.Fit(head+"  ", n) + t.Paint(draw.Accent, t.Fit(url, w-n))}
	}
	lines := []string{t.Fit("", w), t.Fit(head, w)}
	for _, part := range draw.Chop(url, w) {
		lines = append(lines, t.Paint(draw.Accent, t.Fit(part, w)))
	}
	return lines
}

// typed is the code to type there, what is wrong, and the field for the address that
// the browser ended at.
func (d *loginDialog) typed(w int) []string {
	t, s := d.theme, &d.step
	var lines []string
	if s.Code != "" {
		lines = append(lines, t.Fit("", w), t.Fit("and type this code", w), t.Fit("", w), t.Paint(draw.Accent, t.Fit("    "+draw.Clean(s.Code), w)))
	}
	if s.Problem != "" {
		lines = append(lines, t.Fit("", w))
		for _, line := range draw.Wrap("! "+draw.Clean(s.Problem), w) {
			lines = append(lines, t.Paint(draw.Attention, t.Fit(line, w)))
		}
	}
	if s.Paste {
		field := d.paste.view()
		if d.typing {
			field += t.Cursor(" ")
		} else if field == "" {
			field = t.Paint(draw.Muted, "p, where the browser is on another machine")
		}
		lines = append(lines, t.Fit("", w), draw.Exact("paste     "+field, w))
	}
	return lines
}

// viewEnd shows how the login came out, until somebody has seen it.
func (d *loginDialog) viewEnd(w, h int) []string {
	t := d.theme
	text, role := "+ "+d.note, draw.Good
	if d.err != nil {
		text, role = "x "+d.err.Error(), draw.Failed
	}
	var lines []string
	for i, part := range strings.Split(text, "\n") {
		if i > 0 && d.err == nil {
			role = draw.Plain
		}
		for _, line := range draw.Wrap(draw.Clean(part), w) {
			lines = append(lines, t.Paint(role, t.Fit(line, w)))
		}
	}
	if fix := hint.Fix(d.err); d.err != nil && fix != "" {
		lines = append(lines, t.Fit("", w))
		for _, line := range draw.Wrap(draw.Clean(fix), w) {
			lines = append(lines, t.Fit(line, w))
		}
	}
	return lines[:min(len(lines), max(1, h))]
}

// firstLine is the first line of a note.
func firstLine(s string) string {
	first, _, _ := strings.Cut(s, "\n")
	return first
}
