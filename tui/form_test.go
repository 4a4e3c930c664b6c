package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/hint"
	"kb/internal/secret"
)

// sample is a form with a field of each kind.
func sample(s *shared) *form {
	return newForm(form{
		shared: s, about: "New thing", note: "What a thing is for.", does: "make it",
		fields: []formField{
			{name: "name", label: "Name", help: "lower case letters", need: true, check: func(s string) error {
				if strings.ToLower(s) != s {
					return errors.New("a name has lower case letters only")
				}
				return nil
			}},
			{name: "also", label: "Also", kind: wordsField},
			{name: "egress", label: "Egress", kind: choiceField, text: "listed", choices: []Choice{{"open", "open"}, {"listed", "listed hosts only"}}},
			{name: "sure", label: "With a key", kind: yesNoField, text: "yes"},
			{name: "key", label: "Key", kind: secretField, need: true, help: "from the vendor's page", when: func(v values) bool { return v.yes("sure") }},
		},
	})
}

const canary = "kb-canary-90f1"

func openForm(t *testing.T, w, h int) (*board, *form) {
	b := newBoard(t, &fake{}, w, h)
	f := sample(b.m.shared)
	b.run(open(f))
	return b, f
}

func TestFormGivesWhatWasTyped(t *testing.T) {
	t.Parallel()
	b, f := openForm(t, 100, 30)
	var got values
	f.act = func(v values) tea.Cmd { got = v; return nil }
	b.press("work", "enter", "oss, x", "enter", " ", "enter", "enter")
	b.paste(canary + "\r")
	golden(t, "form-100", b.frame())
	b.press("enter")
	if len(b.m.dialogs) != 0 {
		t.Fatalf("the form is still there:\n%s", b.frame())
	}
	if got.text("name") != "work" || fmt.Sprint(got.words("also")) != "[oss x]" || got.text("egress") != "open" || !got.yes("sure") {
		t.Errorf("got %v", got.texts)
	}
	if !got.secret("key").Equal(secret.New(canary)) {
		t.Error("the secret is not what was pasted")
	}
	if len(got.texts) != 4 {
		t.Errorf("the secret is among the texts: %v", got.texts)
	}
}

func TestFormSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	b, f := openForm(t, 60, 20)
	f.act = func(values) tea.Cmd { t.Error("a wrong form acted"); return nil }
	b.press("Work", "ctrl+s")
	golden(t, "form-wrong-60", b.frame())
	b.press("backspace", "backspace", "backspace", "backspace", "ctrl+s")
	if frame := b.frame(); !strings.Contains(frame, "x Name is needed") {
		t.Errorf("nothing is said of the missing name:\n%s", frame)
	}
	b.press("ok", "ctrl+s")
	if frame := b.frame(); !strings.Contains(frame, "x Key is needed") {
		t.Errorf("nothing is said of the missing key:\n%s", frame)
	}
}

func TestFormLeavesOutWhatIsNotThere(t *testing.T) {
	t.Parallel()
	b, f := openForm(t, 100, 30)
	var got values
	f.act = func(v values) tea.Cmd { got = v; return nil }
	b.press("work", "enter", "enter", "enter", "enter", canary, "up", "n")
	if frame := b.frame(); strings.Contains(frame, "> Key") || strings.Contains(frame, mask) {
		t.Errorf("the key's field is still there:\n%s", frame)
	}
	b.press("enter")
	if len(b.m.dialogs) != 0 || got.text("sure") != "no" || !got.secret("key").IsZero() {
		t.Errorf("got %v, %v", got.texts, got.secrets)
	}
}

func TestFormStaysUntilItWorks(t *testing.T) {
	t.Parallel()
	b, f := openForm(t, 100, 30)
	fail := hint.Wrap(errors.New("there is a profile work already"), "run kb profile set work")
	f.try = func(_ context.Context, v values) (string, error) { return "made " + v.text("name"), fail }
	b.press("work", "up", "down", "down", "down", "down", "x", "ctrl+s")
	golden(t, "form-failed-100", b.frame())
	fail = nil
	b.press("y", "ctrl+s")
	if frame := b.frame(); len(b.m.dialogs) != 0 || !strings.Contains(frame, "made work") {
		t.Errorf("the form does not close:\n%s", frame)
	}
}

func TestEscLeavesFormAndCancels(t *testing.T) {
	t.Parallel()
	b, f := openForm(t, 100, 30)
	var ctx context.Context
	f.try = func(c context.Context, _ values) (string, error) { ctx = c; return "", c.Err() }
	b.press("work", "down", "down", "down", "down", canary)
	_, cmd := b.m.Update(keyMsg("ctrl+s")) // begun, not ended
	if cmd == nil || f.work == 0 {
		t.Fatal("nothing was begun")
	}
	b.press("esc")
	if len(b.m.dialogs) != 0 {
		t.Error("esc does not leave")
	}
	b.run(cmd)
	if ctx == nil || ctx.Err() == nil {
		t.Error("what was under way is not cancelled")
	}
}
