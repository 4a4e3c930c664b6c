package oauth_test

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"kb/internal/oauth"
	"kb/internal/testkit"
)

// TestPaste: the address at which a browser on another machine ended, in each
// way that people copy it; and what is refused, after which another is taken.
func TestPaste(t *testing.T) {
	w := newWorld(t)
	for name, form := range map[string]func(u *url.URL) string{
		"whole":           func(u *url.URL) string { return u.String() },
		"with spaces":     func(u *url.URL) string { return " \t" + u.String() + "\n" },
		"without http://": func(u *url.URL) string { return strings.TrimPrefix(u.String(), "http://") },
		"from the ? on":   func(u *url.URL) string { return "?" + u.RawQuery },
		"the query":       func(u *url.URL) string { return u.RawQuery },
		"the query, iss not encoded": func(u *url.URL) string {
			return strings.ReplaceAll(strings.ReplaceAll(u.RawQuery, "%3A", ":"), "%2F", "/")
		},
		"with a fragment": func(u *url.URL) string { return u.String() + "#_=_" },
	} {
		t.Run(name, func(t *testing.T) {
			l := w.start(w.server())
			right := w.browse(l.URL())
			changed := func(change func(url.Values)) string {
				q := right.Query()
				change(q)
				u := *right
				u.RawQuery = q.Encode()
				return form(&u)
			}
			for _, wrong := range []struct {
				text string
				why  error
			}{
				{changed(func(q url.Values) { q.Set("state", "guessed") }), oauth.ErrState},
				{changed(func(q url.Values) { q.Del("state") }), oauth.ErrState},
				{changed(func(q url.Values) { q.Set("iss", "https://evil.example") }), oauth.ErrIssuer},
				{changed(func(q url.Values) { q.Del("code") }), oauth.ErrNoCode},
				{changed(func(q url.Values) { q.Add("code", "two") }), oauth.ErrQuery},
			} {
				if err := l.Paste(wrong.text); !errors.Is(err, wrong.why) {
					t.Errorf("a wrong answer: %v, want %v", err, wrong.why)
				}
			}
			if err := l.Paste(form(right)); err != nil {
				t.Fatal(err)
			}
			if err := l.Paste(form(right)); !errors.Is(err, oauth.ErrUsed) {
				t.Errorf("pasted twice: %v", err)
			}
			tokens, err := l.Wait(w.ctx())
			if err != nil {
				t.Fatal(err)
			}
			if !w.Valid(tokens.Access.Reveal()) {
				t.Error("the token is not the server's")
			}
		})
	}
}

// TestPasteForeignAddress: the right query on another address.
func TestPasteForeignAddress(t *testing.T) {
	w := newWorld(t)
	l := w.start(w.server())
	right := w.browse(l.URL())
	for _, address := range []string{
		"https://evil.example/callback", "http://127.0.0.1:1/callback", "https://" + right.Host + "/callback",
		"http://" + right.Host + "/other", "http://x@" + right.Host + "/callback", "evil.example/callback", "javascript:x",
	} {
		if err := l.Paste(address + "?" + right.RawQuery); !errors.Is(err, oauth.ErrNotTheRedirect) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, junk := range []string{"", "yes", right.Query().Get("code"), "http://" + right.Host + "/callback", strings.Repeat("a=b&", 10000)} {
		if err := l.Paste(junk); err == nil {
			t.Errorf("pasting %.20q was taken", junk)
		}
	}
	w.finish(l, right)
}

// TestPasteOnly: a redirect that is https, and a fixed port that is taken.
func TestPasteOnly(t *testing.T) {
	w := newWorld(t)
	s := w.server()
	s.RedirectTo = "https://kb.example/done?from=kb"
	l := w.start(s)
	if !l.PasteOnly() || l.Redirect() != s.RedirectTo {
		t.Fatalf("paste only: %v, redirect %q", l.PasteOnly(), l.Redirect())
	}
	if err := l.Paste(w.browse(l.URL()).String()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Wait(w.ctx()); err != nil {
		t.Fatal(err)
	}

	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s.RedirectTo = "http://localhost:" + strconv.Itoa(taken.Addr().(*net.TCPAddr).Port) + "/auth/callback"
	l = w.start(s)
	if !l.PasteOnly() || l.Redirect() != s.RedirectTo {
		t.Fatalf("a taken port: paste only: %v, redirect %q", l.PasteOnly(), l.Redirect())
	}
	if err := l.Paste(w.browse(l.URL()).String()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Wait(w.ctx()); err != nil {
		t.Fatal(err)
	}
	// Without PKCE, whoever holds the port could redeem the code.
	s.PKCE = "none"
	if _, err := w.flows.Loopback(w.ctx(), s, w.client, nil); err == nil {
		t.Error("a flow without PKCE was started on somebody else's port")
	}
}

// TestFixedPort: a definition's own port and path, and localhost by name.
func TestFixedPort(t *testing.T) {
	_, port, err := net.SplitHostPort(testkit.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	s := w.server()
	for redirect, want := range map[string]string{
		"http://localhost:" + port + "/auth/callback": "http://localhost:" + port + "/auth/callback",
		"http://127.0.0.1:{port}/cb":                  "",
		"http://localhost:{port}/cb":                  "",
		"http://127.0.0.1/callback":                   "",
		"http://127.0.0.1:{port}":                     "",
	} {
		s.RedirectTo = redirect
		l := w.start(s)
		if l.PasteOnly() {
			t.Fatalf("%s: nothing listens", redirect)
		}
		if want != "" && l.Redirect() != want {
			t.Errorf("%s became %q", redirect, l.Redirect())
		}
		right := w.browse(l.URL())
		// The browser asks by the name; what it dials is 127.0.0.1.
		host := right.Host
		right.Host = "127.0.0.1:" + right.Port()
		if got, page := w.knock(http.MethodGet, right.String(), host); got != http.StatusOK {
			t.Fatalf("%s: the callback was answered with %d:\n%s", redirect, got, page)
		}
		if _, err := l.Wait(w.ctx()); err != nil {
			t.Errorf("%s: %v", redirect, err)
		}
		l.Close()
	}
	for _, redirect := range []string{
		"http://example.com/callback", "http://0.0.0.0:{port}/", "http://[::1]:{port}/", "urn:ietf:wg:oauth:2.0:oob", "kb://callback",
		"http://127.0.0.1:99999/", "http://user@127.0.0.1:{port}/", "http://127.0.0.1:{port}/#x", "http://127.0.0.1:{port}/?x=y", "http://127.0.0.1.evil.example/", "/callback", "::",
	} {
		s.RedirectTo = redirect
		if _, err := w.flows.Loopback(w.ctx(), s, w.client, nil); err == nil {
			t.Errorf("%s was taken as a redirect", redirect)
		}
	}
}

func TestClosedLoginEnds(t *testing.T) {
	w := newWorld(t)
	l := w.start(w.server())
	right := w.browse(l.URL())
	l.Close()
	if _, err := l.Wait(w.ctx()); err == nil {
		t.Error("a closed login gave tokens")
	}
	if err := l.Paste(right.String()); !errors.Is(err, oauth.ErrUsed) {
		t.Errorf("pasting to a closed login: %v", err)
	}
}
