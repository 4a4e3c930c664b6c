package tui

import (
	"context"
	"fmt"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/hint"
	"kb/internal/secret"
	"kb/tui/draw"
)

// fieldKind is what a field of a form takes.
type fieldKind uint8

// Kinds of fields.
const (
	textField   fieldKind = iota // one line
	wordsField                   // words, by blanks or commas
	choiceField                  // one of choices
	yesNoField
	secretField // masked; comes out as a secret.Value
)

// formField is a field of a form.
type formField struct {
	name    string
	label   string
	help    string // under the field while it has the focus
	kind    fieldKind
	text    string   // what stands there at first: a text, words, a choice's value, "yes"
	choices []Choice // of a choiceField
	need    bool     // it must not be empty
	// check says what is wrong with a text; nil takes any. It is not asked about
	// secrets, which no check of a form may see.
	check func(string) error
	// when says whether the field is there, by what the others hold; nil is always.
	when func(values) bool
}

// values are what a form holds. Secrets are in it once, for who acts on them.
type values struct {
	texts   map[string]string
	secrets map[string]secret.Value
}

func (v values) text(name string) string         { return strings.TrimSpace(v.texts[name]) }
func (v values) words(name string) []string      { return words(v.texts[name]) }
func (v values) yes(name string) bool            { return v.texts[name] == "yes" }
func (v values) secret(name string) secret.Value { return v.secrets[name] }

// form is a dialog that asks for values. Enter goes to the next field, and from the
// last one acts; ctrl+s acts from any.
type form struct {
	*shared
	about  string
	note   string // above the fields; may be empty
	fields []formField
	does   string // what enter does in the end: "log in"
	// check says what is wrong with the values together; nil takes any.
	check func(values) error
	// Either act closes the form and does something, or try does it while the form
	// stays: an error is shown in the form, success closes it and is told below.
	act func(values) tea.Cmd
	try func(context.Context, values) (note string, err error)

	inputs []input  // of text and words
	masks  []masked // of secrets
	picked []int    // of choices and yes/no
	at     int
	wrong  error
	work   uint64 // number of the try under way; 0 for none
	cancel context.CancelFunc
}

// tried is how a form's try ended.
type tried struct {
	request uint64
	note    string
	err     error
}

// newForm readies a form: the fields as they stand at first.
func newForm(f form) *form {
	n := len(f.fields)
	f.inputs, f.masks, f.picked = make([]input, n), make([]masked, n), make([]int, n)
	for i := range f.fields {
		fd := &f.fields[i]
		if fd.kind == yesNoField {
			fd.choices = []Choice{{"no", "no"}, {"yes", "yes"}}
		}
		switch fd.kind {
		case choiceField, yesNoField:
			f.picked[i] = max(0, slices.IndexFunc(fd.choices, func(c Choice) bool { return c.Value == fd.text }))
		case textField, wordsField:
			f.inputs[i] = newInput(fd.text)
		}
	}
	return &f
}

func (f *form) title() string { return f.about }

func (f *form) bar() string {
	if f.work != 0 {
		return "esc cancel"
	}
	last := f.at == f.next(f.at, 1)
	switch k := f.fields[f.at].kind; {
	case last && (k == choiceField || k == yesNoField):
		return "enter " + f.does + "  space change  esc leave"
	case last:
		return "enter " + f.does + "  esc leave"
	case k == choiceField || k == yesNoField:
		return "enter next  space change  ctrl+s " + f.does + "  esc leave"
	}
	return "enter next  ctrl+s " + f.does + "  esc leave"
}

// held is what the fields hold, without the secrets.
func (f *form) held() values {
	v := values{texts: map[string]string{}, secrets: map[string]secret.Value{}}
	for i, fd := range f.fields {
		switch fd.kind {
		case choiceField, yesNoField:
			if len(fd.choices) > 0 {
				v.texts[fd.name] = fd.choices[f.picked[i]].Value
			}
		case textField, wordsField:
			v.texts[fd.name] = f.inputs[i].value()
		}
	}
	return v
}

// there reports whether a field is on the form at the moment.
func (f *form) there(i int, v values) bool { return f.fields[i].when == nil || f.fields[i].when(v) }

// next is the field by steps from i that is there; i where there is none.
func (f *form) next(i, by int) int {
	v := f.held()
	for j := i + by; j >= 0 && j < len(f.fields); j += by {
		if f.there(j, v) {
			return j
		}
	}
	return i
}

func (f *form) update(msg tea.Msg) (tea.Cmd, bool) {
	switch msg := msg.(type) {
	case tried:
		if msg.request != f.work || f.work == 0 {
			return nil, false
		}
		f.work = 0
		f.cancel()
		if msg.err != nil {
			f.wrong = msg.err
			return nil, false
		}
		return func() tea.Msg { return done{what: f.about, note: msg.note} }, true
	case tea.KeyMsg:
		return f.key(msg)
	}
	return nil, false
}

func (f *form) key(msg tea.KeyMsg) (tea.Cmd, bool) {
	if msg.Type == tea.KeyEsc {
		f.wipe()
		if f.work != 0 {
			f.cancel()
		}
		return nil, true
	}
	if f.work != 0 {
		return nil, false
	}
	switch msg.Type {
	case tea.KeyEnter:
		if n := f.next(f.at, 1); n != f.at {
			f.at = n
			return nil, false
		}
		return f.submit()
	case tea.KeyCtrlS:
		return f.submit()
	case tea.KeyTab, tea.KeyDown:
		f.at = f.next(f.at, 1)
		return nil, false
	case tea.KeyShiftTab, tea.KeyUp:
		f.at = f.next(f.at, -1)
		return nil, false
	}
	f.wrong = nil
	switch f.fields[f.at].kind {
	case secretField:
		f.masks[f.at].key(msg)
	case textField, wordsField:
		f.inputs[f.at].key(msg)
	default:
		f.pick(msg.String())
	}
	return nil, false
}

// pick changes a choice: by space and the arrows, or to the one that begins with a
// letter.
func (f *form) pick(key string) {
	choices := f.fields[f.at].choices
	n := len(choices)
	if n == 0 {
		return
	}
	switch key {
	case " ", "right":
		f.picked[f.at] = (f.picked[f.at] + 1) % n
	case "left":
		f.picked[f.at] = (f.picked[f.at] + n - 1) % n
	default:
		for i := range choices {
			j := (f.picked[f.at] + 1 + i) % n
			if key != "" && strings.HasPrefix(strings.ToLower(choices[j].Text), strings.ToLower(key)) {
				f.picked[f.at] = j
				return
			}
		}
	}
}

// faults finds the first thing that is wrong, and where; -1 for the whole.
func (f *form) faults(v values) (at int, err error) {
	for i, fd := range f.fields {
		if !f.there(i, v) {
			continue
		}
		empty := v.text(fd.name) == ""
		if fd.kind == secretField {
			empty = f.masks[i].empty()
		}
		if fd.need && empty {
			return i, fmt.Errorf("%s is needed", fd.label)
		}
		if fd.check == nil || fd.kind == secretField || empty {
			continue
		}
		if err := fd.check(v.text(fd.name)); err != nil {
			return i, err
		}
	}
	if f.check != nil {
		return -1, f.check(v)
	}
	return -1, nil
}

func (f *form) submit() (tea.Cmd, bool) {
	v := f.held()
	at, err := f.faults(v)
	if err != nil {
		f.wrong = err
		if at >= 0 {
			f.at = at
		}
		return nil, false
	}
	for i, fd := range f.fields {
		switch {
		case !f.there(i, v):
			delete(v.texts, fd.name)
			f.masks[i].wipe()
		case fd.kind == secretField:
			if s := f.masks[i].take(); !s.IsZero() {
				v.secrets[fd.name] = s
			}
		}
	}
	if f.try == nil {
		return f.act(v), true
	}
	f.requests++
	f.work, f.wrong = f.requests, nil
	ctx, cancel := context.WithCancel(f.ctx)
	f.cancel = cancel
	request, try := f.work, f.try
	return func() tea.Msg {
		note, err := try(ctx, v)
		return tried{request, note, err}
	}, false
}

func (f *form) wipe() {
	for i := range f.masks {
		f.masks[i].wipe()
	}
}

func (f *form) view(w, h int) []string {
	var lines []string
	if f.note != "" {
		lines = append(draw.Wrap(draw.Clean(f.note), w), "")
	}
	label := 0
	for _, fd := range f.fields {
		label = max(label, draw.Width(draw.Clean(fd.label)))
	}
	label = min(label, w/2)
	v, focus := f.held(), 0
	for i, fd := range f.fields {
		if !f.there(i, v) {
			continue
		}
		lead := "  "
		if i == f.at {
			lead, focus = "> ", len(lines)
		}
		head := lead + f.theme.Fit(draw.Clean(fd.label), label) + "  "
		lines = append(lines, draw.Exact(head+f.fieldView(i, max(0, w-label-4)), w))
		if i == f.at && fd.help != "" {
			for _, line := range draw.Wrap(draw.Clean(fd.help), max(1, w-4)) {
				lines = append(lines, f.theme.Paint(draw.Muted, f.theme.Fit("    "+line, w)))
			}
			focus = len(lines) - 1
		}
	}
	below := f.below(w)
	// Where it is too high, the fields around the one with the focus stay.
	if room := max(1, h-len(below)); len(lines) > room {
		top := max(0, min(focus-room+1, len(lines)-room))
		lines = lines[top : top+room]
	}
	return append(lines, below...)
}

// below is what stands under the fields: what is wrong, or what is under way.
func (f *form) below(w int) []string {
	switch {
	case f.work != 0:
		return []string{"", f.theme.Paint(draw.Working, f.theme.Fit("~ working", w))}
	case f.wrong == nil:
		return nil
	}
	lines := []string{""}
	for i, line := range draw.Wrap("x "+draw.Clean(f.wrong.Error()), w) {
		if i < 4 {
			lines = append(lines, f.theme.Paint(draw.Failed, f.theme.Fit(line, w)))
		}
	}
	if fix := hint.Fix(f.wrong); fix != "" {
		lines = append(lines, f.theme.Fit("  "+draw.Clean(fix), w))
	}
	return lines
}

func (f *form) fieldView(i, w int) string {
	fd, focused := f.fields[i], i == f.at && f.work == 0
	switch fd.kind {
	case secretField:
		s := f.masks[i].view()
		if focused {
			s += f.theme.Cursor(" ")
		}
		return draw.Exact(s, w)
	case textField, wordsField:
		return f.inputs[i].view(f.theme, w, focused)
	}
	if len(fd.choices) == 0 {
		return draw.Exact("", w)
	}
	text := draw.Clean(fd.choices[f.picked[i]].Text)
	if focused {
		place := fmt.Sprintf(" >  %d of %d", f.picked[i]+1, len(fd.choices))
		return draw.Exact("< "+f.theme.Paint(draw.Selected, text)+place, w)
	}
	return f.theme.Fit(text, w)
}
