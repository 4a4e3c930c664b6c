package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"kb/internal/screen"
	"kb/tui"
)

// TestStoryWaysOut: whatever ends the dashboard, the terminal is as it was.
func TestStoryWaysOut(t *testing.T) {
	d := newStory(t).withLogin()
	for _, c := range []struct {
		name string
		way  func(*window)
		code int
	}{
		{"q", func(w *window) { w.press("q") }, 0},
		{"ctrl+c", func(w *window) { w.press("C-c") }, 0},
		{"ctrl+c in a field", func(w *window) {
			w.press(":")
			w.types("q?1")
			w.shows(`q\?1`)
			w.press("C-c")
		}, 0},
		{"TERM", func(w *window) { w.Signal(syscall.SIGTERM) }, 3},
		{"HUP", func(w *window) { w.Signal(syscall.SIGHUP) }, 3},
	} {
		kb := d.open("dashboard", screen.Options{Args: []string{"kb"}})
		kb.shows("vault open")
		if s := kb.State(); !s.Alternate || !s.Mouse || s.Cursor {
			t.Errorf("%s: the dashboard has the terminal so: %+v", c.name, s)
		}
		c.way(kb)
		kb.Restored(c.code)
	}
}

// crashing is a desk whose doctor panics, with a value that nobody should see.
type crashing struct{ tui.Backend }

func (crashing) Doctor(context.Context, func(tui.Check)) error { panic("kbCanaryPanic") }

// crash is kb alone with such a desk.
func crash() {
	a := newApp()
	d, paths, err := a.desk()
	if err == nil {
		err = tui.Run(context.Background(), tui.Options{Backend: crashing{d}, Home: paths.Home})
	}
	if err != nil {
		printError(a.err, err)
		os.Exit(1)
	}
}

// TestStoryCrash: a panic leaves the terminal as it was, and says what happened
// where a person can read it.
func TestStoryCrash(t *testing.T) {
	d := newStory(t).withLogin()
	kb := d.open("crash", screen.Options{Args: []string{"crash"}})
	kb.shows("vault open")
	kb.press("7")
	kb.Restored(1)
	frame := kb.shows("this is a fault of kb")
	if strings.Contains(frame, "kbCanary") || !strings.Contains(frame, "crashing.Doctor") {
		t.Errorf("a crash is told so:\n%s", frame)
	}
}

// colour is an SGR sequence that sets one (ECMA-48, 8.3.117, and ITU T.416's 38 and
// 48).
var colour = regexp.MustCompile(`\x1b\[([0-9]+[;:])*(3[0-8]|4[0-8]|9[0-7]|10[0-7])([;:][0-9]+)*m`)

// screenNames are the titles of the screens, by their keys.
var screenNames = []string{"Home", "Profiles", "Logins", "Providers", "Audit", "Approvals", "Doctor", "Vault"}

// TestStoryLooks: every screen of a home in which something happens, without colours,
// with ASCII alone, and at the smallest and a huge size.
func TestStoryLooks(t *testing.T) {
	d := newStory(t).withLogin()
	d.kb("", "policy", "add", "work", "ask", "--provider", "github", "--method", "POST")
	agent := d.agent()
	agent.posts(1)
	walk := func(kb *window, look func(frame, styled string)) {
		t.Helper()
		kb.shows("1 waiting|! 1|1!")
		for i, name := range screenNames {
			kb.press(fmt.Sprint(i + 1))
			title := regexp.MustCompile(fmt.Sprintf(`\[%d %s`, i+1, name))
			frame := kb.until("screen "+name+" whole", func(frame string) bool {
				lines := strings.Split(strings.TrimSuffix(frame, "\n"), "\n")
				return title.MatchString(frame) && strings.Contains(lines[len(lines)-1], "? help")
			})
			look(frame, kb.FrameStyled())
		}
		kb.press("?")
		frame := kb.shows("Keys of Vault")
		look(frame, kb.FrameStyled())
		kb.press("C-c")
		kb.Restored(0)
	}

	colours := 0
	walk(d.open("colour", screen.Options{Args: []string{"kb"}}), func(_, styled string) {
		if colour.MatchString(styled) {
			colours++
		}
	})
	if colours < len(screenNames) {
		t.Errorf("%d frames have colours: the look for them proves nothing", colours)
	}
	walk(d.open("NO_COLOR", screen.Options{Args: []string{"kb"}, Env: []string{"NO_COLOR=1"}}), func(frame, styled string) {
		if found := colour.FindString(styled); found != "" {
			t.Errorf("%q on\n%s", found, frame)
		}
	})
	walk(d.open("ascii", screen.Options{Args: []string{"kb", "--ascii"}}), func(frame, _ string) {
		if at := strings.IndexFunc(frame, func(r rune) bool { return r > unicode.MaxASCII }); at >= 0 {
			t.Errorf("%q on\n%s", []rune(frame[at:])[0], frame)
		}
	})
	for _, size := range [][2]int{{40, 12}, {60, 20}, {250, 80}} {
		w, h := size[0], size[1]
		walk(d.open(fmt.Sprintf("%dx%d", w, h), screen.Options{Args: []string{"kb"}, Width: w, Height: h}), func(frame, _ string) {
			lines := strings.Split(strings.TrimSuffix(frame, "\n"), "\n")
			if len(lines) != h || !strings.HasPrefix(lines[0], " kb") || strings.TrimSpace(lines[h-1]) == "" {
				t.Errorf("%d lines, want %d with the header first and the keys last:\n%s", len(lines), h, frame)
			}
		})
	}
}

// TestStoryWithoutADashboard: where nothing can be drawn kb alone prints its status,
// and where too little can, one sentence.
func TestStoryWithoutADashboard(t *testing.T) {
	d := newStory(t).withLogin()
	for name, o := range map[string]screen.Options{
		"TERM=dumb": {Args: []string{"kb"}, Term: "dumb"},
		"a pipe":    {Args: []string{"sh", "-c", "kb | cat"}},
	} {
		w := d.open(name, o)
		frame := w.shows("1 login")
		w.Restored(0)
		if strings.ContainsAny(frame, "┃│") {
			t.Errorf("%s: a dashboard is drawn:\n%s", name, frame)
		}
	}
	w := d.open("39x12", screen.Options{Args: []string{"kb"}, Width: 39, Height: 12})
	w.shows("40")
	w.Resize(100, 30)
	w.shows("1 Home.*8 Vault")
	w.press("q")
	w.Restored(0)
}
