package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kb/internal/broker"
	"kb/internal/plain"
	"kb/internal/secret"
	"kb/internal/term"
)

// loginScreen tells a person what to do for a login that they grant in a
// browser, and takes the address that they paste.
//
// What stays to be read goes to stderr: the address and the code. What changes
// while kb waits is one line on the terminal, which is erased in the end.
type loginScreen struct {
	a       *app
	tty     *term.TTY // nil: there is no terminal, or another job has it
	desktop term.Desktop
	open    bool   // open a browser
	quiet   bool   // of kb login --no-wait: it is said afterwards, if it is still to be done
	title   string // what the provider is called
	profile string
	cancel  func(error) // of the login
	until   time.Time   // when kb stops waiting for a browser; zero before it waits
	timer   *time.Timer

	pasted  chan string
	waiting sync.WaitGroup
	stop    func() // the line on the terminal

	mu      sync.Mutex
	visit   broker.Visit // as shown
	problem string       // in the line
}

// errNothingPasted says that there is no terminal to paste an address on.
var errNothingPasted = errors.New("read the address that the browser ended at: no terminal to paste it on")

func newLoginScreen(a *app, o loginOptions, title, profile string) *loginScreen {
	s := &loginScreen{
		a: a, desktop: term.Desktop{Getenv: a.getenv}, title: plain.Clean(title), profile: profile,
		pasted: make(chan string), stop: func() {},
	}
	s.open, _ = s.desktop.Browser()
	s.open = s.open && !o.noBrowser && !o.noWait
	if s.quiet = o.noWait; s.quiet {
		return s
	}
	if tty, err := term.OpenTTY(); err == nil {
		if s.tty = tty; !tty.Foreground() {
			_ = tty.Close()
			s.tty = nil
		}
	}
	return s
}

// close takes the line away and gives the terminal back. It may be called again.
func (s *loginScreen) close() {
	if s.timer != nil {
		s.timer.Stop()
	}
	s.stop()
	s.waiting.Wait()
	if s.tty != nil {
		_ = s.tty.Close()
		s.tty = nil
	}
}

// Visit shows where to go, and opens a browser there.
func (s *loginScreen) Visit(v broker.Visit) {
	if v.PasteOnly && s.tty == nil {
		s.cancel(errNothingPasted)
		return
	}
	if v.Code == "" && v.Expires.IsZero() {
		if s.until.IsZero() {
			s.until = time.Now().Add(broker.CodeWait)
			s.timer = time.AfterFunc(broker.CodeWait, func() { s.cancel(broker.ErrNobodyCame) })
		}
		v.Expires = s.until
	}
	s.mu.Lock()
	again := s.visit.URL == v.URL && s.visit.Code == v.Code
	s.visit, s.problem = v, v.Problem
	s.mu.Unlock()
	if s.quiet {
		return
	}
	if again {
		if s.tty == nil && v.Problem != "" {
			fmt.Fprintf(s.a.err, "note: %s\n", plain.Clean(v.Problem))
		}
		return
	}
	s.stop()
	s.waiting.Wait()
	s.say(v)
	if s.open {
		s.browse(v)
	}
	s.wait()
}

// say prints what a person has to do.
func (s *loginScreen) say(v broker.Visit) {
	w := s.a.err
	if v.Problem != "" {
		fmt.Fprintf(w, "note: %s\n", plain.Clean(v.Problem))
	}
	if v.Takes != "" {
		fmt.Fprintf(w, "note: %s\n", plain.Clean(v.Elsewhere()))
	}
	url := plain.Clean(v.URL)
	if v.Code != "" {
		fmt.Fprintf(w, "log in at %s for profile %s, in a browser on any machine\n\n", s.title, s.profile)
		fmt.Fprintf(w, "  open      %s\n  and type  %s\n\n", url, plain.Clean(v.Code))
		if picture := s.picture(v); picture != "" {
			fmt.Fprintf(w, "%s\n", picture)
		}
		return
	}
	if s.open {
		fmt.Fprintf(w, "log in at %s for profile %s: your browser opens this page\n\n  %s\n\n", s.title, s.profile, url)
	} else {
		fmt.Fprintf(w, "log in at %s for profile %s: open this page in a browser\n\n  %s\n\n", s.title, s.profile, url)
	}
	redirect := plain.Clean(v.Redirect)
	switch {
	case s.tty == nil && !v.PasteOnly:
		fmt.Fprintf(w, "kb waits for the browser on this machine, at %s\n", redirect)
	case v.PasteOnly:
		fmt.Fprintf(w, "the browser ends at a page whose address begins with %s\ncopy that address whole and paste it here\n\n", redirect)
	case s.desktop.SSH():
		fmt.Fprintf(w, "the browser ends at a page that does not load, whose address begins with %s\ncopy that address whole and paste it here\n\n", redirect)
	}
}

// picture is the address as a QR code, where it fits the terminal besides what
// is said.
func (s *loginScreen) picture(v broker.Visit) string {
	if s.tty == nil || !isTerminal(s.a.err) {
		return ""
	}
	address := v.Complete
	if address == "" {
		address = v.URL
	}
	const said = 6 // lines around the picture: it would push the code off the screen
	width, height := s.tty.Size()
	dumb := s.a.getenv("TERM") == "dumb" || s.a.getenv("TERM") == ""
	return term.QR(plain.Clean(address), term.Canvas{
		Width: width, Height: height - said, Blocks: term.UTF8(s.a.getenv), Colour: !dumb,
	})
}

// browse opens a browser. It does not wait: some browsers end with their
// window.
func (s *loginScreen) browse(v broker.Visit) {
	address := v.Complete
	if address == "" {
		address = v.URL
	}
	go func() {
		// The browser outlives the login, and ctrl+c here.
		if err := s.desktop.Open(context.Background(), address); err != nil {
			s.mu.Lock()
			s.problem = "no browser opened, so open the page yourself"
			s.mu.Unlock()
		}
	}()
}

// wait shows how long there is, and takes what is pasted meanwhile.
func (s *loginScreen) wait() {
	if s.tty == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	s.waiting.Go(func() {
		err := s.tty.Wait(ctx, s.line, func(address secret.Value) {
			s.mu.Lock()
			typing := s.visit.Code != ""
			s.problem = ""
			s.mu.Unlock()
			if typing {
				s.complain("the code is typed in the browser, not here")
				return
			}
			select {
			case s.pasted <- address.Reveal():
			case <-ctx.Done():
			}
		})
		if ctx.Err() == nil {
			s.cancel(fmt.Errorf("read the terminal: %w", err))
		}
	})
}

func (s *loginScreen) complain(problem string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problem = problem
}

// line is what the terminal shows while kb waits.
func (s *loginScreen) line(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var line, left string
	if !s.visit.Expires.IsZero() {
		left = ", " + countdown(s.visit.Expires.Sub(now)) + " left"
	}
	switch {
	case s.problem != "" && s.visit.Code == "":
		return plain.Clean(s.problem) + left + "; paste it: "
	case s.problem != "":
		line = plain.Clean(s.problem) + "; "
	}
	line += "waiting" + left + "; ctrl+c cancels"
	if s.visit.Code == "" {
		line += "; or paste the address the browser ended at: "
	}
	return line
}

// countdown is a time that is left, as a clock shows it: 4:32.
func countdown(d time.Duration) string {
	d = max(d, 0).Truncate(time.Second)
	if d >= time.Hour {
		return fmt.Sprintf("%d:%02d:%02d", d/time.Hour, d/time.Minute%60, d/time.Second%60)
	}
	return fmt.Sprintf("%d:%02d", d/time.Minute, d/time.Second%60)
}

// Redirected is the next address that is pasted.
func (s *loginScreen) Redirected(ctx context.Context) (string, error) {
	if s.tty == nil {
		return "", errNothingPasted
	}
	select {
	case address := <-s.pasted:
		return address, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
