package tui

import (
	"fmt"
	"strings"
	"testing"
)

// TestKeysMeanOneThing: no key means two things on one screen, each binding is whole,
// and what a screen offers is in the list.
func TestKeysMeanOneThing(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, b := range bindings {
		if ids[b.id] {
			t.Errorf("%s is there twice", b.id)
		}
		ids[b.id] = true
		if b.does == "" || b.help == "" || len(b.keys) == 0 || b.verb != "" && !strings.HasPrefix(b.verb, "kb ") {
			t.Errorf("%s is not whole: %+v", b.id, b)
		}
		for _, key := range b.keys {
			if !isKey(key) {
				t.Errorf("%s is on %q, which is no key", b.id, key)
			}
		}
	}
	b := newBoard(t, full(), 100, 30)
	for i := range b.m.screens {
		b.press(fmt.Sprint(i + 1))
		on := map[string]string{}
		for _, u := range b.m.uses() {
			for _, key := range b.m.keys.byID[u.id].keys {
				if on[key] != "" {
					t.Errorf("on %s, %q is %s and %s", b.m.openName(), key, on[key], u.id)
				}
				on[key] = u.id
			}
			if !ids[u.id] {
				t.Errorf("%s offers %q, which is no binding", b.m.openName(), u.id)
			}
			if u.off == "" && u.run == nil {
				t.Errorf("%s offers %q, which does nothing", b.m.openName(), u.id)
			}
		}
	}
}

// TestVerbsAreThreeKeysAway: whatever an action is said to do on the command line, its
// key does something here: a dialog opens, the backend is asked, or another program
// gets the terminal. (The audit's only change what is shown, and the checks run by
// themselves: their own tests see that.) From its screen, a person goes to a panel and a row, and
// presses one key.
func TestVerbsAreThreeKeysAway(t *testing.T) {
	t.Parallel()
	happens := map[string]bool{}
	for _, state := range []VaultState{VaultOpen, VaultNone, VaultLocked, VaultRefused} {
		for i := range screenCount {
			if state != VaultOpen && i > 0 {
				break // one page for all
			}
			for _, way := range ways {
				there := func() *board {
					f := full()
					f.standing.State, f.standing.Fix = state, "run kb vault accept"
					f.logins[2].Disagreed, f.logins[2].Refs, f.logins[3].Missing = true, []string{"token from op://Work/linear/key"}, true
					kept := filed()
					f.vault, f.profiles, f.standing.Wrapped = kept.vault, kept.profiles, true
					f.events, f.checks = crowd(3, tame).events, crowd(3, tame).checks
					b := newBoard(t, f, 100, 30)
					b.press(fmt.Sprint(i + 1))
					b.press(way...)
					b.m.View()
					return b
				}
				from := there()
				for _, u := range from.m.uses() {
					binding := from.m.keys.byID[u.id]
					if u.off != "" || binding.verb == "" || happens[u.id] {
						continue
					}
					b := there()
					did, said := len(b.f.done()), b.m.notices.note
					b.press(binding.keys[0])
					happens[u.id] = len(b.m.dialogs) > 0 || len(b.f.done()) > did || b.m.notices.note != said || strings.HasPrefix(u.id, "audit.") || u.id == "doctor.run"
				}
			}
		}
	}
	for _, b := range bindings {
		if b.verb != "" && !happens[b.id] {
			t.Errorf("%s (%s, key %s): nothing happens, or it is offered nowhere", b.id, b.verb, b.keys)
		}
	}
}

// ways go to panels and rows of a screen.
var ways = [][]string{{}, {"j"}, {"j", "j"}, {"j", "j", "j"}, {"tab"}, {"tab", "j"}, {"tab", "j", "j"}, {"tab", "tab"}, {"tab", "tab", "j"}, {"tab", "tab", "tab"}, {"G"}}
