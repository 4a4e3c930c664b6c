package oauth

import (
	"errors"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"

	"kb/internal/secret"
)

// callbackMax bounds an authorization response: a request's head, or what is
// pasted. The longest known codes have some 2 KiB.
const callbackMax = 16 << 10

// Why an answer was refused. None of them holds anything of the answer.
var (
	ErrNotTheRedirect = errors.New("it is not the address that the login waits at")
	ErrMethod         = errors.New("it was not asked with GET")
	ErrQuery          = errors.New("its query cannot be read, or names something twice")
	ErrState          = errors.New("its state is not that of this login")
	ErrIssuer         = errors.New("its issuer is not the server that was asked")
	ErrNoCode         = errors.New("it has neither a code nor an error")
	ErrUsed           = errors.New("the login has its answer already")
)

// callback answers a browser. What it says has no bytes of the request's.
func (l *Loopback) callback(w http.ResponseWriter, r *http.Request) {
	err := ErrNotTheRedirect
	status := http.StatusBadRequest
	switch {
	// A page that rebinds its own name to 127.0.0.1 says that name.
	case r.Host != l.redirect.authority():
		status = http.StatusMisdirectedRequest
		_ = l.refuse(err) // counted
	case r.URL.EscapedPath() != pathOf(l.redirect.path):
		status = http.StatusNotFound // browsers ask for icons
	case r.Method != http.MethodGet:
		err, status = ErrMethod, http.StatusMethodNotAllowed
		w.Header().Set("Allow", http.MethodGet)
		_ = l.refuse(err)
	default:
		err = l.accept(r.URL.RawQuery)
		if errors.Is(err, ErrUsed) {
			status = http.StatusGone
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer") // the address holds the code
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Connection", "close")
	title, line := "kb has the answer", "You can close this page and go back to the terminal."
	if err == nil {
		status = http.StatusOK
	} else {
		title = "Refused"
		line = "This answer was refused: " + err.Error() + "."
		if !errors.Is(err, ErrUsed) {
			line += " The login goes on waiting for the right one."
		}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, page(title, line))
}

// pathOf is a path as a request names it.
func pathOf(p string) string {
	if p == "" {
		return "/"
	}
	return p
}

// page is the whole answer to a browser.
func page(title, line string) string {
	t, p := html.EscapeString(title), html.EscapeString(line)
	return "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>" + t + "</title>\n" +
		"<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1rem}</style>\n" +
		"<h1>" + t + "</h1>\n<p>" + p + "</p>\n</html>\n"
}

// Paste takes the address at which the browser ended, whole or from its query
// on, with the checks of the callback. An error says why it was refused; the
// flow goes on, and another may be pasted.
func (l *Loopback) Paste(address string) error {
	address = strings.TrimSpace(address)
	if len(address) > callbackMax {
		return l.refuse(ErrQuery)
	}
	address, _, _ = strings.Cut(address, "#") // some servers append one ("#_=_")
	query := address
	// A query alone has its first "=" before any "?".
	if i := strings.IndexAny(address, "?="); i < 0 || address[i] == '?' {
		var before string
		before, query, _ = strings.Cut(address, "?")
		if before != "" && !l.leadsHere(before) {
			return l.refuse(ErrNotTheRedirect)
		}
	}
	return l.accept(query)
}

// leadsHere reports whether an address without its query is the redirect URI.
// Browsers show it without "http://".
func (l *Loopback) leadsHere(address string) bool {
	want, err := url.Parse(l.redirect.uri)
	if err != nil {
		return false
	}
	if !strings.Contains(address, "://") {
		address = want.Scheme + "://" + address
	}
	got, err := url.Parse(address)
	if err != nil {
		return false
	}
	return got.Scheme == want.Scheme && strings.EqualFold(got.Host, want.Host) && got.User == nil &&
		pathOf(got.EscapedPath()) == pathOf(want.EscapedPath())
}

// accept judges the query of an authorization response and, if it is the one,
// ends the flow with it.
func (l *Loopback) accept(query string) error {
	g, err := l.judge(query)
	if err != nil {
		return l.refuse(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return ErrUsed
	}
	l.ended = true
	l.landed <- g
	return nil
}

// refuse counts an answer that is not the one.
func (l *Loopback) refuse(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return ErrUsed
	}
	l.refused++
	l.last = err
	return err
}

// judge reads an authorization response (RFC 6749 sections 4.1.2 and 4.1.2.1)
// and refuses what is not the answer to this flow's request.
func (l *Loopback) judge(query string) (landing, error) {
	v, err := url.ParseQuery(query)
	if err != nil || len(query) > callbackMax {
		return landing{}, ErrQuery
	}
	for _, k := range []string{"state", "code", "error", "iss", "error_description"} {
		if len(v[k]) > 1 { // RFC 6749 section 3.1
			return landing{}, ErrQuery
		}
	}
	if !secret.New(v.Get("state")).Equal(l.state) {
		return landing{}, ErrState
	}
	// RFC 9207 section 2.4: the issuer comes where the server says that it
	// does, with errors too; where it comes unannounced it must be right.
	if iss := v.Get("iss"); l.server.Issuer != "" && (iss != "" || l.server.ISS) && iss != l.server.Issuer {
		return landing{}, ErrIssuer
	}
	code, no := v.Get("code"), v.Get("error")
	switch {
	case code != "" && no != "":
		return landing{}, ErrQuery
	case no != "":
		u, err := url.Parse(l.server.Authorization)
		if err != nil {
			return landing{}, ErrNotTheRedirect
		}
		return landing{err: &Error{
			Endpoint: "authorization", Host: short(u.Host),
			Code: errorCode(no), Description: short(v.Get("error_description")),
		}}, nil
	case code != "":
		return landing{code: secret.New(code)}, nil
	}
	return landing{}, ErrNoCode
}
