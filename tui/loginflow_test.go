package tui

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/hint"
	"kb/internal/secret"
)

// slow is a board whose commands run beside the test, as in the real program: what
// comes of them is taken in when the test waits for something.
type slow struct {
	*board
	inbox chan tea.Msg
	said  []tea.Msg // all messages that came
}

func newSlow(t *testing.T, f *fake, w, h int) *slow {
	return &slow{board: newBoard(t, f, w, h), inbox: make(chan tea.Msg, 64)}
}

func (b *slow) start(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	go func() {
		switch msg := cmd().(type) {
		case nil:
		case tea.BatchMsg:
			for _, c := range msg {
				b.start(c)
			}
		default:
			b.inbox <- msg
		}
	}()
}

func (b *slow) press(keys ...string) {
	for _, k := range keys {
		_, cmd := b.m.Update(keyMsg(k))
		b.start(cmd)
	}
}

func (b *slow) paste(text string) {
	_, cmd := b.m.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(text), Paste: true})
	b.start(cmd)
}

// until takes messages in until the screen shows a text; "" is until no dialog is
// there.
func (b *slow) until(text string) *slow {
	b.t.Helper()
	late := time.NewTimer(10 * time.Second)
	defer late.Stop()
	for {
		if frame := b.frame(); text != "" && strings.Contains(frame, text) || text == "" && len(b.m.dialogs) == 0 {
			return b
		}
		select {
		case msg := <-b.inbox:
			b.said = append(b.said, msg)
			_, cmd := b.m.Update(msg)
			b.start(cmd)
		case <-late.C:
			b.t.Fatalf("%q does not come:\n%s", text, b.frame())
		}
	}
}

// keyForm is what a login by a key needs, at a provider with two ways in.
func keyForm() LoginForm {
	return LoginForm{
		Request: LoginRequest{LoginKey: LoginKey{Profile: "work", Provider: "openai"}, Method: "key"},
		Title:   "OpenAI: API key", Page: "https://platform.openai.example/api-keys",
		Ways:   []Way{{Method: "key", Text: "API key"}, {Method: "oauth", Text: "OAuth app, in a browser"}},
		Fields: []Field{{Name: "org", Label: "Organization", Optional: true}, {Name: "key", Label: "API key", Secret: true}},
		Exists: true,
	}
}

func TestLoginChoosesProviderWayAndFields(t *testing.T) {
	t.Parallel()
	f := full()
	unchosen := keyForm()
	unchosen.Request.Method, unchosen.Fields, unchosen.Exists = "", nil, false
	f.form = unchosen
	pick := func(w, h int) *board {
		b := newBoard(t, f, w, h)
		b.press("3", "n")
		return b
	}
	goldens(t, "login-provider", pick)
	way := func(w, h int) *board {
		b := pick(w, h)
		b.press("gith", "enter")
		return b
	}
	goldens(t, "login-where", way)
	method := func(w, h int) *board {
		b := way(w, h)
		b.press("enter", "bot", "enter")
		return b
	}
	goldens(t, "login-way", method)
	b := method(100, 30)
	f.form = keyForm()
	f.form.Exists = false
	b.press("enter", "enter", canary, "enter", "enter")
	if got := f.asked; len(got) != 1 || got[0].Method != "key" || got[0].Values["key"].IsZero() || len(got[0].Refs) != 0 || got[0].Replace {
		t.Fatalf("asked for %+v", got)
	}
	if !strings.Contains(b.frame(), "+ login work/openai") {
		t.Errorf("the result is not shown:\n%s", b.frame())
	}
	b.press("enter")
	if len(b.m.dialogs) != 0 {
		t.Error("the result does not go")
	}
}

func TestLoginFieldsFrames(t *testing.T) {
	t.Parallel()
	f := full()
	f.form = keyForm()
	fields := func(w, h int) *board {
		b := newBoard(t, f, w, h)
		b.press("3", "j", "j", "j", "j", "l", "enter", canary)
		return b
	}
	goldens(t, "login-fields", fields)
	f.fail = map[string]error{"login work/openai": hint.Wrap(errors.New("ask openai who this is: it refused the credential with status 401"), "check the key and that it has not expired")}
	goldens(t, "login-error", func(w, h int) *board {
		b := fields(w, h)
		b.press("ctrl+s")
		return b
	})
	f.fail = nil
	goldens(t, "login-done", func(w, h int) *board {
		b := fields(w, h)
		b.press("ctrl+s")
		return b
	})
}

// TestNothingToAskWhereALoginGoes: with one profile, and none of its logins at the
// provider, the first question is what to log in with.
func TestNothingToAskWhereALoginGoes(t *testing.T) {
	t.Parallel()
	f := full()
	f.form = keyForm()
	f.form.Ways, f.form.Exists = f.form.Ways[:1], false
	f.logins, f.profiles.Profiles = nil, f.profiles.Profiles[1:]
	b := newBoard(t, f, 100, 30)
	b.press("4", "l")
	b.press("enter", canary, "ctrl+s")
	if len(f.asked) != 1 || f.asked[0].Profile != "work" || f.asked[0].Values["key"].IsZero() {
		t.Errorf("asked for %+v\n%s", f.asked, b.frame())
	}
}

// TestLoginWaitsForProfiles: who is quicker than the vault is asked what is so, and
// not what was before.
func TestLoginWaitsForProfiles(t *testing.T) {
	t.Parallel()
	f := full()
	f.form = keyForm()
	f.form.Ways, f.form.Exists = f.form.Ways[:1], false
	f.logins, f.profiles.Profiles = nil, f.profiles.Profiles[1:]
	b := newBoard(t, f, 100, 30)
	b.press("4")
	late := ask(b.m.ctx, &b.m.world.profiles, f.Profiles)
	b.press("l")
	if frame := b.frame(); strings.Contains(frame, "API key") || strings.Contains(frame, "that gets the login") {
		t.Errorf("it does not wait:\n%s", frame)
	}
	b.run(late)
	if frame := b.frame(); !strings.Contains(frame, "API key") {
		t.Errorf("it does not go on:\n%s", frame)
	}
}

// TestEnterKeepsAnError: a key that goes on everywhere else throws nothing away.
func TestEnterKeepsAnError(t *testing.T) {
	t.Parallel()
	f := full()
	f.form = keyForm()
	f.fail = map[string]error{"login work/openai": errFake}
	b := newBoard(t, f, 100, 30)
	b.press("3", "j", "j", "j", "j", "l", "enter", canary, "ctrl+s")
	b.press("enter", "enter")
	if len(b.m.dialogs) != 1 || !strings.Contains(b.frame(), errFake.Error()) {
		t.Errorf("the error is gone:\n%s", b.frame())
	}
	b.press("esc")
	if len(b.m.dialogs) != 0 {
		t.Error("esc does not leave it")
	}
}

// TestReplaceIsSaid: a login that is there is replaced where a person came to do
// that, and else where they say so.
func TestReplaceIsSaid(t *testing.T) {
	t.Parallel()
	f := full()
	f.form = keyForm()
	f.form.Ways = f.form.Ways[:1]
	b := newBoard(t, f, 100, 30)
	b.press("4", "l", "enter", "enter") // as a new one
	b.press("down", canary, "ctrl+s")
	if frame := b.frame(); len(f.asked) != 0 || !strings.Contains(frame, "say that it is to be replaced") {
		t.Errorf("a key that is there is replaced by a slip, or nobody is told:\n%s", frame)
	}
	b.press("up", "up", "up", "y", "ctrl+s")
	if len(f.asked) != 1 || !f.asked[0].Replace || f.asked[0].Values["key"].IsZero() {
		t.Errorf("asked for %+v", f.asked)
	}
}

// TestReferenceInPlaceOfAKey: what is given as a reference goes as one, and no value
// with it.
func TestReferenceInPlaceOfAKey(t *testing.T) {
	t.Parallel()
	f := full()
	f.form = keyForm()
	f.form.Ways = f.form.Ways[:1]
	b := newBoard(t, f, 100, 30)
	b.press("3", "e")
	b.press("enter", canary, "enter", " ")
	b.press("up", "op://Work/openai/key", "down", "down", "n", "ctrl+s")
	if len(f.asked) != 1 || f.asked[0].Refs["key"] != "op://Work/openai/key" || !f.asked[0].Values["key"].IsZero() || !f.asked[0].NoVerify {
		t.Errorf("asked for %+v\n%s", f.asked, b.frame())
	}
}

// grantForm is what a login in a browser needs: nothing.
func grantForm() LoginForm {
	return LoginForm{
		Request: LoginRequest{LoginKey: LoginKey{Profile: "work", Provider: "linear"}, Method: "oauth"},
		Title:   "Linear: OAuth app", Grant: true, Exists: true, Ways: []Way{{Method: "oauth", Text: "OAuth app, in a browser"}},
	}
}

// picture is no code that a camera reads, but as large as one.
func picture() []string {
	lines := make([]string, 17)
	for i := range lines {
		lines[i] = strings.Repeat("█▀", 16) + "█"
	}
	return lines
}

func TestLoginWaits(t *testing.T) {
	t.Parallel()
	code := LoginStep{
		URL: "https://linear.example/device", Code: "WDJB-MJHT", QR: picture(), Text: "waiting for the code to be typed, in any browser", Until: at.Add(14*time.Minute + 32*time.Second),
	}
	browser := LoginStep{
		URL: "https://linear.example/oauth/authorize?client_id=kb&code_challenge=" + strings.Repeat("Ab3", 20) + "&state=xyz", Opened: true, Paste: true,
		Text: "waiting for the browser", Until: at.Add(15 * time.Minute),
	}
	wrong := browser
	wrong.Opened, wrong.Problem = false, "that address is not of this login"
	for _, c := range []struct {
		name, sees string
		step       LoginStep
		keys       []string
	}{
		{"login-code", "WDJB-MJHT", code, nil},
		{"login-browser", "your browser opens", browser, nil},
		{"login-paste", "not of this login", wrong, []string{"p"}},
	} {
		goldens(t, c.name, func(w, h int) *board {
			f := full()
			f.form, f.steps, f.block = grantForm(), []LoginStep{c.step}, make(chan struct{})
			b := newSlow(t, f, w, h)
			b.press("3")
			b.until("linear (work)").press("l")
			b.until(c.sees).press(c.keys...)
			t.Cleanup(func() { close(f.block) })
			return b.board
		})
	}
}

// TestLoginIsCancelled: esc ends the backend's call, and the dialog goes when that
// has returned.
func TestLoginIsCancelled(t *testing.T) {
	t.Parallel()
	f := full()
	f.form, f.steps, f.block = grantForm(), []LoginStep{{URL: "https://linear.example/a", Paste: true, Text: "waiting for the browser"}}, make(chan struct{})
	b := newSlow(t, f, 100, 30)
	b.press("3", "l")
	b.until("waiting for the browser").press("esc")
	b.until("")
	b.until("nothing was kept")
	for _, did := range f.done() {
		if strings.HasPrefix(did, "login") {
			t.Errorf("did %q", did)
		}
	}
}

// TestLateStepsAreDropped: what an earlier login tells does not appear in a later
// one.
func TestLateStepsAreDropped(t *testing.T) {
	t.Parallel()
	f := full()
	f.form, f.steps, f.block = grantForm(), []LoginStep{{URL: "https://linear.example/now", Text: "waiting for the browser"}}, make(chan struct{})
	b := newSlow(t, f, 100, 30)
	b.press("3", "l")
	b.until("linear.example/now")
	d := b.m.dialogs[0].(*loginDialog)
	for _, late := range []tea.Msg{
		loginStepped{d.flow.number - 1, LoginStep{URL: "https://linear.example/before"}},
		loginOver{d.flow.number - 1, "an earlier one is made", nil},
		formFound{d.asked - 1, keyForm(), nil},
		formFound{d.asked, keyForm(), nil}, // also of this one: it went on since
	} {
		b.m.Update(late)
	}
	if frame := b.frame(); strings.Contains(frame, "before") || strings.Contains(frame, "earlier") || !strings.Contains(frame, "linear.example/now") {
		t.Errorf("a late message shows:\n%s", frame)
	}
	close(f.block)
	b.until("+ login work/linear")
}

// TestPastedAddressGoesToTheLogin: whatever has the focus, and its letters do
// nothing else.
func TestPastedAddressGoesToTheLogin(t *testing.T) {
	t.Parallel()
	f := full()
	f.form, f.steps, f.takes = grantForm(), []LoginStep{{URL: "https://linear.example/a", Paste: true, Text: "waiting for the browser"}}, true
	b := newSlow(t, f, 100, 30)
	b.press("3", "l")
	b.until("waiting for the browser").paste("http://127.0.0.1:1/callback?code=" + canary)
	if frame := b.frame(); !strings.Contains(frame, mask) || strings.Contains(frame, canary) {
		t.Errorf("the paste is not in its field, or is shown:\n%s", frame)
	}
	b.press("enter")
	b.until("+ login work/linear")
	if !f.pasted.Equal(secret.New("http://127.0.0.1:1/callback?code=" + canary)) {
		t.Error("the login got another address")
	}
	leaks(t, b)
}

// TestTypedKeyIsForgotten: after it was handed over, or left, nothing that the
// dashboard holds or shows has a key that a person typed.
func TestTypedKeyIsForgotten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fail error
		keys []string
	}{
		{"handed over", nil, []string{"ctrl+s"}},
		{"refused", errors.New("refused"), []string{"ctrl+s"}},
		{"refused, and asked again", errors.New("refused"), []string{"ctrl+s", "r"}},
		{"left", nil, []string{"esc"}},
	} {
		f := full()
		f.form = keyForm()
		f.form.Ways = f.form.Ways[:1]
		f.fail = map[string]error{"login work/openai": c.fail}
		f.forget = true
		b := newSlow(t, f, 100, 30)
		b.press("3", "l")
		b.until("API key").press("down")
		for _, r := range canary {
			b.press(string(r))
		}
		b.paste(canary)
		if held := dump(b.m); !strings.Contains(held, canary) {
			t.Fatalf("%s: the key is not found where it is typed: the search finds nothing", c.name)
		}
		for _, k := range c.keys {
			b.press(k)
			switch {
			case k == "esc":
				b.until("")
			case k == "r":
				b.until("ctrl+s log in")
			case c.fail != nil:
				b.until("x refused")
			default:
				b.until("+ login")
			}
		}
		leaks(t, b)
	}
}

// leaks fails where the canary is on the screen, in the model or in a message.
func leaks(t *testing.T, b *slow) {
	t.Helper()
	for where, held := range map[string]string{"the screen": b.frame(), "the model": dump(b.m), "a message": dump(b.said)} {
		if strings.Contains(held, canary) {
			t.Errorf("%s holds the canary", where)
		}
	}
}

// dump is every text that can be reached from v: through pointers, unexported
// fields and the spare room of slices. What a test itself holds is left out.
func dump(v any) string {
	var out strings.Builder
	seen := map[string]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			out.WriteString(v.String() + "\n")
		case reflect.Pointer, reflect.Map, reflect.Chan:
			key := fmt.Sprint(v.Type(), v.Pointer())
			if v.IsNil() || seen[key] || v.Type() == reflect.TypeFor[*fake]() {
				return
			}
			seen[key] = true
			if v.Kind() == reflect.Pointer {
				walk(v.Elem())
			}
			if v.Kind() == reflect.Map {
				for it := v.MapRange(); it.Next(); {
					walk(it.Key())
					walk(it.Value())
				}
			}
		case reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			if v.IsNil() {
				return
			}
			all := v.Slice(0, v.Cap())
			switch v.Type().Elem().Kind() {
			case reflect.Uint8:
				out.Write(all.Bytes())
				out.WriteByte('\n')
			case reflect.Int32: // runes
				for i := range all.Len() {
					out.WriteRune(rune(all.Index(i).Int()))
				}
				out.WriteByte('\n')
			default:
				for i := range all.Len() {
					walk(all.Index(i))
				}
			}
		case reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(v))
	return out.String()
}

var _ LoginScreen = (*loginFlow)(nil)

func TestStepsGiveWay(t *testing.T) {
	t.Parallel()
	f := newLoginFlow(context.Background(), 1)
	defer f.cancel()
	for i := range 5 {
		f.Step(LoginStep{URL: fmt.Sprint(i)})
	}
	if s := <-f.steps; s.URL != "4" {
		t.Errorf("the step that is seen is %q", s.URL)
	}
}

// TestLoginDialogsFitEverySize: what others wrote in them is as wide as they like,
// and says what it wants to the terminal.
func TestLoginDialogsFitEverySize(t *testing.T) {
	t.Parallel()
	hostile := "\x1b[2J\u202e名前\u0301" + strings.Repeat("wide ", 40)
	f := full()
	f.form = keyForm()
	f.form.Title, f.form.Note, f.form.Fields[0].Label = hostile, hostile, hostile
	f.form.Ways = f.form.Ways[:1]
	f.logins[0].Provider, f.logins[0].Reason = hostile, hostile
	step := LoginStep{URL: "https://x.example/" + hostile, Code: hostile, Text: hostile, Problem: hostile, Paste: true, QR: picture(), Until: at.Add(time.Minute)}
	b := newBoard(t, f, 100, 30)
	b.press("3")
	login := func() *loginDialog {
		return &loginDialog{shared: b.m.shared, want: LoginRequest{LoginKey: f.logins[0].LoginKey}}
	}
	waits, failed, looks, asks := login(), login(), login(), login()
	waits.page, waits.step, waits.flow = loginWaits, step, newLoginFlow(t.Context(), 1)
	failed.page, failed.err = loginEnded, hint.Wrap(errors.New(hostile), hostile)
	looks.page, asks.form = loginLooks, f.form
	asks.askFields()
	plan := logoutPlanned{chosen: f.logins, here: make([]string, len(f.logins)), everywhere: make([]string, len(f.logins))}
	for i := range plan.here {
		plan.here[i] = hostile
	}
	logout := &logoutDialog{logins: b.m.screens[screenLogins].(*logins), plan: plan}
	for _, d := range []dialog{waits, failed, looks, asks, logout} {
		b.m.dialogs = []dialog{d}
		for w := 1; w <= 200; w += 7 {
			for h := 1; h <= 60; h += 5 {
				b.m.Update(tea.WindowSizeMsg{Width: w, Height: h})
				b.frame()
				if drawn := b.m.View(); strings.Contains(drawn, "\x1b[2J") || strings.Contains(drawn, "\u202e") {
					t.Fatalf("%T %dx%d draws a control character", d, w, h)
				}
			}
		}
	}
}
