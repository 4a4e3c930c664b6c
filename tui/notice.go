package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"kb/internal/hint"
	"kb/tui/draw"
)

// noteLasts is how long a note that all went well stays: time to read a line and
// look up from it. Errors stay until esc.
const noteLasts = 10 * time.Second

// notices are what the line above the bar tells of actions.
type notices struct {
	note   string
	at     time.Time // of the note
	errors []done    // newest last
}

// tell takes how an action ended. That a person ended it himself is a note.
func (n *notices) tell(d done, now time.Time) {
	switch {
	case d.err == nil:
		n.note, n.at = d.note, now
		if n.note == "" {
			n.note = d.what
		}
	case errors.Is(d.err, context.Canceled):
		n.note, n.at = "cancelled: "+d.what, now
	default:
		// One that comes again takes the place of the one before.
		kept := n.errors[:0]
		for _, e := range n.errors {
			if e.what != d.what || e.err.Error() != d.err.Error() {
				kept = append(kept, e)
			}
		}
		n.errors = append(kept, d)
	}
}

func (n *notices) fade(now time.Time) {
	if now.Sub(n.at) >= noteLasts {
		n.note = ""
	}
}

// dismiss takes the newest error away, then the note. It reports whether there was
// one.
func (n *notices) dismiss() bool {
	switch {
	case len(n.errors) > 0:
		n.errors = n.errors[:len(n.errors)-1]
	case n.note != "":
		n.note = ""
	default:
		return false
	}
	return true
}

// newest is the error that is shown.
func (n *notices) newest() (done, bool) {
	if len(n.errors) == 0 {
		return done{}, false
	}
	return n.errors[len(n.errors)-1], true
}

// errorText is an error in full, for a reader: what it was, and what mends it.
func errorText(d done) []string {
	text := []string{d.what, ""}
	text = append(text, strings.Split(d.err.Error(), "\n")...)
	if fix := hint.Fix(d.err); fix != "" {
		text = append(text, "")
		text = append(text, strings.Split("To mend it: "+fix, "\n")...)
	}
	return text
}

// hintLine is the line above the bar: the filter that is typed, an error, what is
// under way, what came of an action, or what matters on the screen.
func (m *Model) hintLine() string {
	t := m.theme
	if m.filter != nil {
		return draw.Exact(t.Paint(draw.Accent, " /")+m.filter.view(t, max(1, m.w-2), true), m.w)
	}
	if d, ok := m.notices.newest(); ok {
		line := oneLine(d)
		more := "  E more  esc"
		if n := len(m.notices.errors); n > 1 {
			more = fmt.Sprintf("  E more (%d)  esc", n)
		}
		room := m.w - draw.Width(more) - 1
		if room < 20 {
			room, more = m.w-1, ""
		}
		return draw.Exact(t.Paint(draw.Failed, " "+t.Fit(line, room))+t.Paint(draw.Muted, more), m.w)
	}
	if what, n := m.jobs.newest(); n > 0 {
		line := " ~ " + draw.Clean(what)
		if n > 1 {
			line += fmt.Sprintf(" and %d more", n-1)
		}
		return t.Paint(draw.Working, t.Fit(line+"  (esc cancels)", m.w))
	}
	if u, ok := m.screens[m.at].(urgent); ok && m.page() == nil && u.urgent() != "" {
		return t.Fit(" "+draw.Clean(u.urgent()), m.w)
	}
	if m.notices.note != "" {
		return t.Fit(" "+draw.Clean(m.shortIn(m.notices.note)), m.w)
	}
	if p := m.page(); p != nil {
		return t.Fit(" "+draw.Clean(p.hint()), m.w)
	}
	s := m.screens[m.at]
	if f := s.rows().filtered(); f != "" {
		return t.Paint(draw.Accent, t.Fit(fmt.Sprintf(" filter: %s  (%d shown, esc clears)", draw.Clean(f), s.rows().count()), m.w))
	}
	return t.Fit(" "+draw.Clean(s.hint()), m.w)
}

// urgent is a screen that at times has more to say than what came of an action.
type urgent interface{ urgent() string }

// oneLine is an error in a line, its fix at the end where it is one line too.
func oneLine(d done) string {
	text, rest, _ := strings.Cut(d.err.Error(), "\n")
	line := "x " + draw.Clean(d.what+": "+text)
	if fix := hint.Fix(d.err); fix != "" && rest == "" && !strings.Contains(fix, "\n") {
		line += ". " + draw.Clean(fix)
	}
	return line
}

// job is an action under way.
type job struct {
	number uint64
	what   string
	cancel context.CancelFunc
}

// jobs are the actions under way, in the order they began.
type jobs []job

func (j *jobs) drop(number uint64) {
	kept := (*j)[:0]
	for _, one := range *j {
		if one.number == number {
			one.cancel()
		} else {
			kept = append(kept, one)
		}
	}
	*j = kept
}

func (j jobs) newest() (what string, n int) {
	if len(j) == 0 {
		return "", 0
	}
	return j[len(j)-1].what, len(j)
}

// cancel ends the newest action. It reports whether there was one.
func (j jobs) cancel() bool {
	if len(j) == 0 {
		return false
	}
	j[len(j)-1].cancel()
	return true
}
