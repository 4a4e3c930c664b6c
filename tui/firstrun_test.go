package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kb/internal/hint"
)

func noVault() *fake {
	return &fake{standing: Standing{
		State: VaultNone, Path: "/home/me/.config/kb/vault.age", Dir: "/home/me/src/acme/api",
		GitName: "Me", GitEmail: "me@acme.example", Remote: "github.com/acme/api",
	}, providers: catalogue()}
}

func TestPagesWithoutAVault(t *testing.T) {
	for name, s := range map[string]Standing{
		"firstrun": noVault().standing,
		"locked":   {State: VaultLocked, Path: "/home/me/.config/kb/vault.age", Wrapped: true, Dir: "/home/me"},
		"refused": {
			State: VaultRefused, Path: "/home/me/.config/kb/vault.age", Dir: "/home/me",
			Reason: "the vault is older than the one this device saw last",
			Fix:    "bring the newer file back (git log -- vault.age), or take this one knowingly: kb vault accept",
		},
	} {
		for _, size := range [][2]int{{100, 30}, {60, 20}} {
			b := newBoard(t, &fake{standing: s}, size[0], size[1])
			if s.State == VaultLocked {
				b.press("esc") // the form that asks by itself has a frame of its own
			}
			golden(t, fmt.Sprintf("%s-%dx%d", name, size[0], size[1]), b.frame())
		}
	}
}

// TestFirstRun goes from nothing to the line to type, with keys alone.
func TestFirstRun(t *testing.T) {
	f := noVault()
	b := newBoard(t, f, 100, 30)
	b.press("n")
	golden(t, "firstrun-vault-100x30", b.frame())
	b.press("ctrl+s")
	if frame := b.frame(); !strings.Contains(frame, makesProfile) {
		t.Fatalf("no profile is asked for:\n%s", frame)
	}
	f.standing.State = VaultOpen
	b.run(ask(b.m.ctx, &b.m.world.standing, f.Standing))
	for _, want := range []string{"> name           acme", "git author     Me", "git e-mail     me@acme.example", "repositories   github.com/acme/*", "and elsewhere  no"} {
		if frame := b.frame(); !strings.Contains(frame, want) {
			t.Fatalf("%q is not suggested:\n%s", want, frame)
		}
	}
	b.press("ctrl+s")
	b.press("later", "enter")
	if frame := b.frame(); !strings.Contains(frame, "    "+startLine) || !strings.Contains(frame, "y copy") {
		t.Fatalf("the line to type is not shown:\n%s", frame)
	}
	want := []string{"init /home/me/.config/kb/vault.age", "put profile >acme", "add rule acme github.com/acme/*"}
	if did := f.done(); !slices.Equal(did, want) {
		t.Errorf("did %q, want %q", did, want)
	}
	b.press("esc")
	if len(b.m.dialogs) != 0 {
		t.Errorf("a dialog is left: %s", b.m.dialogs[0].title())
	}
}

// TestFirstLoginIsAboveTheEnd: who makes a login reads the line to type after it.
func TestFirstLoginIsAboveTheEnd(t *testing.T) {
	f := noVault()
	b := newBoard(t, f, 100, 30)
	b.press("n", "ctrl+s", "ctrl+s")
	f.standing.State = VaultOpen
	b.press("log in", "enter")
	if n := len(b.m.dialogs); n != 2 || b.m.dialogs[0].title() != "Ready" {
		t.Fatalf("%d dialogs", n)
	}
	b.press("esc")
	frame := b.frame()
	if !strings.Contains(frame, startLine) {
		t.Errorf("the end is not shown:\n%s", frame)
	}
	// That the login came to nothing is said, and no more when there is one.
	if none := "It has no login yet"; !strings.Contains(frame, none) {
		t.Errorf("that there is no login is not said:\n%s", frame)
	} else {
		f.logins = []Login{{LoginKey: LoginKey{Profile: "acme", Provider: "github"}, State: "ok"}}
		b.run(b.m.everything())
		if strings.Contains(b.frame(), none) {
			t.Errorf("there is a login, and the end says:\n%s", b.frame())
		}
	}
}

// TestFirstRunByCursor: the choices are a list as any other.
func TestFirstRunByCursor(t *testing.T) {
	for _, one := range []struct {
		keys  []string
		title string
	}{
		{[]string{"enter"}, makesVault},
		{[]string{"up", "enter"}, makesVault},
		{[]string{"j", "down", "enter"}, "recover a vault"},
		{[]string{"G", "k", "k", "enter"}, "use the vault in your dotfiles"},
	} {
		b := newBoard(t, noVault(), 80, 24)
		b.press(one.keys...)
		if len(b.m.dialogs) != 1 || b.m.dialogs[0].title() != one.title {
			t.Errorf("%q opens no dialog %q:\n%s", one.keys, one.title, b.frame())
		}
	}
}

// TestFirstRunStays: what cannot be made is said in its dialog, which stays; a
// profile that was made before its rule was refused is not made twice.
func TestFirstRunStays(t *testing.T) {
	f := noVault()
	f.fail = map[string]error{"init /home/me/.config/kb/vault.age": hint.Wrap(errFake, "run kb status")}
	b := newBoard(t, f, 100, 30)
	b.press("n", "ctrl+s")
	if frame := b.frame(); !strings.Contains(frame, errFake.Error()) || !strings.Contains(frame, "run kb status") {
		t.Fatalf("the error is not in the dialog:\n%s", frame)
	}
	f.fail = map[string]error{"add rule acme github.com/acme/*": errFake}
	b.press("ctrl+s", "ctrl+s")
	f.fail = nil
	b.press("ctrl+s")
	if did := f.done(); !slices.Contains(did, "put profile acme>acme") {
		t.Errorf("did %q", did)
	}
}

// TestPassphraseTwice: two that differ make no vault.
func TestPassphraseTwice(t *testing.T) {
	f := noVault()
	b := newBoard(t, f, 100, 30)
	b.press("n", "tab", "tab", "swordfish", "tab", "swordfsh", "ctrl+s")
	if frame := b.frame(); !strings.Contains(frame, errDiffer.Error()) || strings.Contains(frame, "sword") {
		t.Errorf("the dialog says:\n%s", frame)
	}
	if did := f.done(); len(did) != 0 {
		t.Errorf("did %q", did)
	}
	b.press("tab", "tab", "tab") // to the end, where "once more" is
	b.press("shift+tab", "swordfish", "tab", "swordfish", "ctrl+s")
	if did := f.done(); len(did) != 1 {
		t.Errorf("did %q", did)
	}
}

func TestUnlock(t *testing.T) {
	f := &fake{standing: Standing{State: VaultLocked, Path: "/home/me/.config/kb/vault.age", Wrapped: true}}
	f.fail = map[string]error{"unlock": errors.New("open identity: the passphrase is wrong")}
	b := newBoard(t, f, 60, 20)
	b.press("q?:/1x")
	golden(t, "locked-asks-60x20", b.frame())
	b.press("enter")
	if frame := b.frame(); !strings.Contains(frame, "the passphrase is wrong") {
		t.Fatalf("the dialog says:\n%s", frame)
	}
	f.fail = nil
	b.press("right one", "enter")
	if did := f.done(); len(did) != 2 || len(b.m.dialogs) != 0 {
		t.Errorf("did %q, %d dialogs", did, len(b.m.dialogs))
	}
	// It asks by itself once, and then with a key.
	b.run(b.m.pages[VaultLocked].opened())
	if len(b.m.dialogs) != 0 {
		t.Error("it asks by itself again")
	}
	if b.press("u"); len(b.m.dialogs) != 1 {
		t.Error("u does not ask")
	}
}

// TestRefusedVaultIsMended hands the screen to the command that the fix names.
func TestRefusedVaultIsMended(t *testing.T) {
	f := &fake{standing: Standing{State: VaultRefused, Reason: "older", Fix: "take this one knowingly: kb vault accept"}}
	b := newBoard(t, f, 60, 20)
	_, cmd := b.m.Update(keyMsg("m"))
	if cmd == nil {
		t.Fatal("m does nothing")
	}
	f.standing.Fix = ""
	b.run(ask(b.m.ctx, &b.m.world.standing, f.Standing))
	if b.press("m"); !strings.Contains(b.frame(), "no command mends it") {
		t.Errorf("m says nothing:\n%s", b.frame())
	}
}
