package tui

import (
	"context"
	"errors"
	"fmt"
	"slices"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/hint"
	"kb/internal/secret"
)

// loginFlow is a login under way: the context of its backend call, and the
// LoginScreen that the call tells its steps.
type loginFlow struct {
	number uint64
	ctx    context.Context
	cancel context.CancelFunc
	steps  chan LoginStep    // the newest, until the dialog has seen it
	pasted chan secret.Value // the newest, until the call has taken it
}

func newLoginFlow(ctx context.Context, number uint64) *loginFlow {
	f := &loginFlow{number: number, steps: make(chan LoginStep, 1), pasted: make(chan secret.Value, 1)}
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f
}

// Step implements LoginScreen. A step that nobody has seen yet gives way.
func (f *loginFlow) Step(s LoginStep) { replace(f.steps, s) }

// Pasted implements LoginScreen.
func (f *loginFlow) Pasted(ctx context.Context) (secret.Value, error) {
	select {
	case address := <-f.pasted:
		return address, nil
	case <-ctx.Done():
		return secret.Value{}, ctx.Err()
	}
}

// replace puts v into a channel that holds one, in place of what is there. It
// does not block.
func replace[T any](c chan T, v T) {
	for {
		select {
		case c <- v:
			return
		default:
		}
		select {
		case <-c:
		default:
		}
	}
}

// Messages of a login. The number says which: what comes of an earlier one is
// dropped.
type (
	formFound struct {
		request uint64
		form    LoginForm
		err     error
	}
	loginStepped struct {
		flow uint64
		step LoginStep
	}
	loginOver struct {
		flow uint64
		note string
		err  error
	}
)

// listen waits for the next step.
func (f *loginFlow) listen() tea.Msg {
	select {
	case s := <-f.steps:
		return loginStepped{f.number, s}
	case <-f.ctx.Done():
		return nil
	}
}

// loginPage is which page of the dialog is open.
type loginPage uint8

const (
	loginAsks   loginPage = iota // a picker or a form stands in the dialog
	loginLooks                   // what a person has to give is looked up
	loginWaits                   // the login is being made
	loginEnded                   // it is made, or it is not
	loginImport                  // it is not made but taken over: the dialog gives way
)

// loginDialog makes a login: it finds out what for, asks for what is needed, waits
// while a person grants it elsewhere, and stays until the result was seen.
type loginDialog struct {
	*shared
	want     LoginRequest // what is known, but never a value of a field
	fresh    bool         // a person says for which profile, and as what
	settings bool         // all that can be set is asked for
	finding  bool         // what profiles and logins there are is being asked
	placed   bool         // profile and name are said
	chosen   bool         // the way in is
	texts    map[string]string

	page   loginPage
	inner  dialog // of loginAsks
	asked  uint64
	form   LoginForm
	flow   *loginFlow
	step   LoginStep
	ending bool // esc was pressed, and the backend's call has not returned
	paste  masked
	typing bool // the paste field has the focus
	note   string
	err    error
}

// startLogin makes a login that is there again: its tokens, or its key.
func startLogin(s *shared, key LoginKey, device bool) tea.Cmd {
	d := &loginDialog{shared: s, want: LoginRequest{LoginKey: key, Replace: true}}
	if device {
		d.want.Way = "device"
	}
	return open(d)
}

// editLogin makes one again, and asks for every setting.
func editLogin(s *shared, key LoginKey) tea.Cmd {
	return open(&loginDialog{shared: s, want: LoginRequest{LoginKey: key, Replace: true}, settings: true})
}

// newLogin makes a further login: at a provider, or where that is empty at one that
// a person chooses. profile is where the choice of one begins.
func newLogin(s *shared, provider, profile string) tea.Cmd {
	if profile == "" {
		profile = s.world.standing.value.Profile
	}
	return open(&loginDialog{shared: s, want: LoginRequest{LoginKey: LoginKey{Profile: profile, Provider: provider}}, fresh: true})
}

func (d *loginDialog) title() string {
	switch {
	case d.want.Provider == "":
		return "Log in at which provider"
	case d.fresh && !d.placed:
		return "Log in at " + d.want.Provider
	}
	return "Log in at " + loginName(d.want.LoginKey) + " for profile " + d.want.Profile
}

func (d *loginDialog) bar() string {
	switch d.page {
	case loginAsks:
		if d.inner == nil {
			return "esc leave"
		}
		return d.inner.bar()
	case loginLooks:
		return "esc leave"
	case loginWaits:
		return d.waitingBar()
	}
	if d.err != nil {
		return "r try again  e other settings  y copy the error  esc leave"
	}
	return "enter or esc leave"
}

func (d *loginDialog) isForm() bool {
	_, ok := d.inner.(*form)
	return ok
}

func (d *loginDialog) update(msg tea.Msg) (tea.Cmd, bool) {
	switch msg := msg.(type) {
	case openDialog:
		if msg.dialog == dialog(d) {
			return d.next(), false
		}
	case formFound:
		if msg.request == d.asked && d.page == loginLooks {
			cmd := d.found(msg)
			return cmd, d.page == loginImport
		}
	case loginStepped:
		if d.flow != nil && msg.flow == d.flow.number {
			d.step = msg.step
			return d.flow.listen, false
		}
	case loginOver:
		if d.flow != nil && msg.flow == d.flow.number {
			return d.ended(msg)
		}
	case answer[Profiles], answer[[]Login]:
		if d.finding {
			d.finding = false
			return d.next(), false
		}
	case answer[[]Provider]:
		if d.page == loginAsks && d.want.Provider == "" {
			d.chooseProvider() // the catalogue has come
		}
	case tea.KeyMsg:
		return d.key(msg)
	}
	return nil, false
}

// key gives a key to the page that is open.
func (d *loginDialog) key(msg tea.KeyMsg) (tea.Cmd, bool) {
	switch d.page {
	case loginAsks:
		if msg.Type == tea.KeyCtrlO && d.form.Page != "" && d.isForm() {
			return d.visit(d.form.Page), false
		}
		before := d.inner
		cmd, over := d.inner.update(msg)
		left := over && d.inner == before && d.page == loginAsks
		return cmd, left || d.page == loginImport
	case loginLooks:
		return nil, msg.Type == tea.KeyEsc
	case loginWaits:
		return d.waitingKey(msg)
	}
	switch key := msg.String(); {
	case key == "esc" || key == "q" || key == "enter" && d.err == nil:
		return nil, true
	case d.err == nil:
	case key == "r":
		return d.look(), false
	case key == "e":
		d.settings, d.chosen = true, false
		return d.look(), false
	case key == "y":
		return copied(errorLine(d.err)), false
	}
	return nil, false
}

// errorLine is an error with what mends it.
func errorLine(err error) string {
	if fix := hint.Fix(err); fix != "" {
		return err.Error() + " (" + fix + ")"
	}
	return err.Error()
}

// visit opens a vendor's page; where no browser does, the error tells the address.
func (d *loginDialog) visit(page string) tea.Cmd {
	return d.act("open "+page, func(ctx context.Context) (string, error) { return "opened " + page, d.backend.OpenPage(ctx, page) })
}

// next goes on to what is not known yet.
func (d *loginDialog) next() tea.Cmd {
	switch {
	case d.want.Provider == "":
		d.chooseProvider()
		if !d.world.providers.loaded {
			return ask(d.ctx, &d.world.providers, d.backend.Providers)
		}
		return nil
	case d.fresh && !d.placed:
		if cmd, known := d.places(); !known {
			d.page, d.inner, d.finding = loginLooks, nil, true
			return cmd
		}
		if !d.onlyPlace() {
			d.askWhere()
			return nil
		}
	}
	d.placed = true
	return d.look()
}

// places reports whether it is known which profiles and logins there are, just now;
// else the command asks.
func (d *loginDialog) places() (cmd tea.Cmd, known bool) {
	w := &d.world
	if w.profiles.loaded && !w.profiles.busy && w.logins.loaded && !w.logins.busy {
		return nil, true
	}
	var cmds []tea.Cmd
	if !w.profiles.loaded && !w.profiles.busy {
		cmds = append(cmds, ask(d.ctx, &w.profiles, d.backend.Profiles))
	}
	if !w.logins.loaded && !w.logins.busy {
		cmds = append(cmds, ask(d.ctx, &w.logins, d.backend.Logins))
	}
	return tea.Batch(cmds...), false
}

// onlyPlace reports whether there is nothing to ask about where the login goes: there
// is one profile, and it has no login at the provider that this could be beside.
func (d *loginDialog) onlyPlace() bool {
	profiles := d.world.profiles.value.Profiles
	if len(profiles) != 1 {
		return false
	}
	d.want.Profile = profiles[0].Name
	return !slices.ContainsFunc(d.world.logins.value, func(l Login) bool {
		return l.Profile == d.want.Profile && l.Provider == d.want.Provider
	})
}

// look asks what a person has to give.
func (d *loginDialog) look() tea.Cmd {
	d.requests++
	d.asked, d.page, d.inner, d.err, d.note = d.requests, loginLooks, nil, nil, ""
	ctx, request, want, backend := d.ctx, d.asked, d.want, d.backend
	return func() tea.Msg {
		form, err := backend.LoginForm(ctx, want)
		return formFound{request, form, err}
	}
}

// found goes on with what the backend said is needed.
func (d *loginDialog) found(msg formFound) tea.Cmd {
	if msg.err != nil {
		d.page, d.err = loginEnded, msg.err
		return nil
	}
	d.form = msg.form
	keep := d.want
	d.want = msg.form.Request
	d.want.Values, d.want.Refs = nil, nil
	d.want.Replace = keep.Replace
	ways := d.form.Ways
	switch {
	case d.form.Base != "":
		d.askBase()
	case len(ways) == 1 && ways[0].Import != "":
		return d.takeOver(ways[0].Import)
	case len(ways) > 1 && (d.want.Method == "" || d.settings && !d.chosen):
		d.chooseWay()
	case len(d.form.Fields) > 0 || d.settings || d.form.Exists && !d.want.Replace:
		d.askFields()
	default:
		return d.begin(d.want)
	}
	return nil
}

// takeOver leaves the dialog for that of an import.
func (d *loginDialog) takeOver(source string) tea.Cmd {
	d.page = loginImport
	return startImport(d.shared, source, d.want.Profile)
}

// begin makes the login. What is secret in the request goes to the backend and is
// kept nowhere else.
func (d *loginDialog) begin(r LoginRequest) tea.Cmd {
	d.requests++
	flow := newLoginFlow(d.ctx, d.requests)
	d.flow, d.page, d.inner, d.step = flow, loginWaits, nil, LoginStep{}
	d.ending, d.typing = false, false
	backend := d.backend
	return tea.Batch(func() tea.Msg {
		note, err := backend.Login(flow.ctx, r, flow)
		flow.cancel() // nobody listens for steps any more
		return loginOver{flow.number, note, err}
	}, flow.listen)
}

// ended keeps how the login came out. One that was cancelled in time is gone with
// its dialog.
func (d *loginDialog) ended(msg loginOver) (tea.Cmd, bool) {
	d.paste.wipe()
	cancelled := d.ending
	d.flow, d.page, d.note, d.err = nil, loginEnded, msg.note, msg.err
	what := "log in at " + loginName(d.want.LoginKey)
	switch {
	case msg.err == nil:
		return func() tea.Msg { return done{what: what, note: firstLine(msg.note)} }, false
	case cancelled && (errors.Is(msg.err, context.Canceled) || hint.Code(msg.err) == hint.Cancelled):
		return func() tea.Msg { return done{note: what + ": cancelled, nothing was kept"} }, true
	}
	return nil, false
}

// chooseProvider lists the catalogue.
func (d *loginDialog) chooseProvider() {
	entries := make([]entry, len(d.world.providers.value))
	for i := range entries {
		p := &d.world.providers.value[i]
		text := p.Title
		if p.Unverified {
			text += " (unverified)"
		}
		entries[i] = entry{key: p.Name, text: text, also: fmt.Sprint(p.Hosts, p.Kinds), run: func() tea.Cmd {
			d.want.Provider = p.Name
			return d.next()
		}}
	}
	none := "No provider is called that; kb provider add FILE adds one of your own."
	if !d.world.providers.loaded {
		none = "~ reading the catalogue"
	}
	typed := newInput("")
	if old, ok := d.inner.(*picker); ok {
		typed = old.in
	}
	d.page, d.inner = loginAsks, newPicker(picker{shared: d.shared, about: "provider", does: "choose it", none: none, entries: entries, in: typed})
}

// chooseWay lists the ways in, that of the login that is there first.
func (d *loginDialog) chooseWay() {
	var entries []entry
	add := func(w Way) {
		text := w.Text
		if w.Method == d.want.Method {
			text += " (as it is now)"
		}
		entries = append(entries, entry{text: text, also: w.Method, run: func() tea.Cmd {
			if w.Import != "" {
				return d.takeOver(w.Import)
			}
			if w.Method != d.want.Method {
				d.want.Scopes = nil
			}
			d.want.Method, d.want.Way, d.chosen = w.Method, w.Way, true
			return d.look()
		}})
	}
	for _, current := range []bool{true, false} {
		for _, w := range d.form.Ways {
			if (d.want.Method != "" && w.Method == d.want.Method) == current {
				add(w)
			}
		}
	}
	d.page, d.inner = loginAsks, newPicker(picker{shared: d.shared, about: "way in", does: "choose it", entries: entries})
}
