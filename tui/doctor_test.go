package tui

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func someChecks() []Check {
	return []Check{
		{Name: "vault", State: CheckRunning},
		{Name: "git", State: CheckRunning},
		{Name: "isolation", State: CheckRunning},
		{Name: "logins", State: CheckRunning},
		{Name: "config", State: CheckRunning},
		{Name: "git", State: CheckOK, Line: "committed in /home/me/dotfiles, level with origin/main as of the last fetch"},
		{Name: "config", State: CheckSkipped, Line: "there is none: all is as built in"},
		{
			Name: "isolation", State: CheckWarning, Line: "tier hardened: an agent can read 2 files with credentials",
			Why: "kb's memory is closed to an agent, your files are not. It can read ~/.local/state/kb/identity.txt, ~/.netrc.",
		},
		{
			Name: "vault", State: CheckFailed, Line: "vault team does not open: it is older than the one this device saw last",
			Why: "Its rules have a say in which profile a directory gets, so kb exec refuses without them.\nAlso:\nvault lab does not open", Fix: "run kb vault accept --vault team",
		},
	}
}

func TestDoctorFrames(t *testing.T) {
	for _, size := range [][2]int{{100, 30}, {60, 20}, {40, 12}} {
		name := fmt.Sprintf("%dx%d", size[0], size[1])
		b := newBoard(t, &fake{standing: Standing{State: VaultOpen, Profile: "work", Dir: "/home/me"}, checks: someChecks()}, size[0], size[1])
		b.press("7")
		golden(t, "doctor-"+name, b.frame())
		b.press("enter")
		golden(t, "doctor-explain-"+name, b.frame())
	}
}

// told hands a run's checks over one at a time.
type told struct {
	*fake
	next chan Check
}

func (f *told) Doctor(ctx context.Context, found func(Check)) error {
	for c := range f.next {
		found(c)
	}
	return ctx.Err()
}

// TestDoctorShowsChecksAsTheyEnd: each is on the screen while others still run, and
// what a run tells that was given up is dropped.
func TestDoctorShowsChecksAsTheyEnd(t *testing.T) {
	f := &told{&fake{standing: Standing{State: VaultOpen}}, make(chan Check)}
	m, err := New(t.Context(), Options{Backend: f, Looks: Looks{NoColor: true}})
	if err != nil {
		t.Fatal(err)
	}
	s := newDoctor(m.shared)
	first := s.opened()
	give := func(c Check) {
		go func() { f.next <- c }()
	}
	give(Check{Name: "vault", State: CheckRunning})
	msg := first()
	next := s.update(msg)
	give(Check{Name: "vault", State: CheckOK, Line: "opens"})
	give2 := next()
	next = s.update(give2)
	if c, ok := s.list.selected(); !ok || c.State != CheckOK || !s.busy {
		t.Fatalf("after the first check: %+v", c)
	}
	if s.opened() != nil {
		t.Error("who comes back runs the checks again")
	}
	late := msg
	_ = next
	s.begin()
	if s.update(late) != nil || len(s.list.all) != 0 {
		t.Error("a late check of a run that was given up is shown")
	}
	close(f.next)
}

func TestDoctorReportIsCopied(t *testing.T) {
	var copies []string
	m, err := New(t.Context(), Options{Backend: &fake{standing: Standing{State: VaultOpen}, checks: someChecks()}, Looks: Looks{NoColor: true}, Clipboard: func(s string) error {
		copies = append(copies, s)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	b := &board{t, m, m.backend.(*fake)}
	m.w, m.h, m.here = 100, 30, layoutFull
	b.press("7", "y", "Y")
	if len(copies) != 2 || !strings.Contains(copies[0], "x vault") || !strings.HasSuffix(copies[0], "5 checks: 1 ok, 1 warning, 1 failed, 1 running, 1 not checked") {
		t.Fatalf("copied %q", copies)
	}
	if copies[1] != "run kb vault accept --vault team" {
		t.Errorf("copied %q", copies[1])
	}
}
