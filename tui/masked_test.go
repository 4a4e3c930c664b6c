package tui

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
)

// holds looks for a text in everything that can be reached from v: strings, bytes
// and runes, also behind the ends of slices, and reports the way there.
func holds(v reflect.Value, text string, way string, seen map[uintptr]bool) string {
	switch v.Kind() {
	case reflect.String:
		if strings.Contains(v.String(), text) {
			return way
		}
	case reflect.Pointer:
		if v.IsNil() || seen[v.Pointer()] {
			return ""
		}
		seen[v.Pointer()] = true
		return holds(v.Elem(), text, way, seen)
	case reflect.Interface:
		return holds(v.Elem(), text, way, seen)
	case reflect.Struct:
		for i := range v.NumField() {
			if found := holds(v.Field(i), text, way+"."+v.Type().Field(i).Name, seen); found != "" {
				return found
			}
		}
	case reflect.Map:
		for _, k := range v.MapKeys() {
			if found := holds(k, text, way+".key", seen) + holds(v.MapIndex(k), text, way+"[]", seen); found != "" {
				return found
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			if found := holds(v.Index(i), text, way+"[]", seen); found != "" {
				return found
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			return ""
		}
		whole := v.Slice(0, v.Cap())
		var b strings.Builder
		for i := range whole.Len() {
			switch e := whole.Index(i); e.Kind() {
			case reflect.Uint8:
				b.WriteByte(byte(e.Uint()))
			case reflect.Int32:
				b.WriteRune(rune(e.Int()))
			default:
				if found := holds(e, text, way+"[]", seen); found != "" {
					return found
				}
			}
		}
		if strings.Contains(b.String(), text) {
			return way
		}
	}
	return ""
}

// TestSecretIsNowhereAfterwards: while a person types it, the masked field has the
// secret, and no frame; when it was handed over, or left, the model has it nowhere.
func TestSecretIsNowhereAfterwards(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		enter func(*board)
		leave string
	}{
		{"typed and submitted", func(b *board) {
			for _, r := range canary {
				b.press(string(r))
			}
		}, "ctrl+s"},
		{"pasted and submitted", func(b *board) { b.paste(strings.Repeat("long ", 200) + canary) }, "ctrl+s"},
		{"typed and left", func(b *board) { b.press(canary) }, "esc"},
	} {
		b := newBoard(t, full(), 100, 30)
		f := sample(b.m.shared)
		f.act = func(values) tea.Cmd { return nil }
		b.run(open(f))
		b.press("work", "down", "down", "down", "down")
		c.enter(b)
		// The control: the same look finds it where it must be.
		if found := holds(reflect.ValueOf(b.m), canary, "", map[uintptr]bool{}); !strings.Contains(found, "masks") {
			t.Fatalf("%s: the secret that is typed is at %q", c.name, found)
		}
		for _, size := range [][2]int{{100, 30}, {60, 20}, {40, 12}} {
			b.resize(size[0], size[1])
			if view := b.m.View(); strings.Contains(ansi.Strip(view), canary[:4]) {
				t.Errorf("%s: a frame shows it:\n%s", c.name, view)
			}
		}
		b.press(c.leave)
		if len(b.m.dialogs) != 0 {
			t.Fatalf("%s: the form stays", c.name)
		}
		for _, root := range []any{b.m, f} {
			if found := holds(reflect.ValueOf(root), canary, "", map[uintptr]bool{}); found != "" {
				t.Errorf("%s: the secret is still at %s", c.name, found)
			}
		}
		if text := fmt.Sprintf("%+v %#v", *f, f.masks); strings.Contains(text, canary) {
			t.Errorf("%s: printing the form shows it", c.name)
		}
	}
}

func TestMaskTellsNoLength(t *testing.T) {
	t.Parallel()
	var short, long masked
	short.key(keyMsg("x"))
	long.key(keyMsg(strings.Repeat("x", 5000)))
	if short.view() != long.view() || short.view() == "" {
		t.Errorf("masks are %q and %q", short.view(), long.view())
	}
	long.key(tea.KeyMsg{Type: tea.KeyCtrlU})
	if !long.empty() || long.view() != "" {
		t.Error("ctrl+u does not empty it")
	}
	short.key(tea.KeyMsg{Type: tea.KeyBackspace})
	short.key(tea.KeyMsg{Type: tea.KeyBackspace})
	if !short.empty() {
		t.Error("backspace does not empty it")
	}
	short.key(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("-----BEGIN KEY-----\r\nabc\rdef\r\n\r\n"), Paste: true})
	if got := short.take().Reveal(); got != "-----BEGIN KEY-----\nabc\ndef" {
		t.Errorf("pasted lines are %q", got)
	}
}
