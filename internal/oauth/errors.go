package oauth

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"kb/internal/plain"
	"kb/internal/secret"
)

// Error is an answer in which a server says no (RFC 6749 section 5.2), or
// that is none: then Code is empty. It never holds a body, a token or a query.
type Error struct {
	Endpoint    string // "token", "device", "revocation", "registration", "authorization", "metadata", "par"
	Host        string
	Status      int           // of the HTTP answer; 0 when there was none
	Code        string        // "invalid_grant"
	Description string        // the server's words, cleaned, at most 200 bytes; or kb's, where Code is empty
	RetryAfter  time.Duration // that the server asked for (RFC 9110 section 10.2.3), at most a day; 0: it did not

	cause error // context.Canceled and the like; never a *url.Error, which prints the URL
}

// Error codes that callers look at.
const (
	CodeInvalidGrant         = "invalid_grant"
	CodeInvalidClient        = "invalid_client"
	CodeAuthorizationPending = "authorization_pending"
	CodeSlowDown             = "slow_down"
	CodeExpiredToken         = "expired_token"
	CodeAccessDenied         = "access_denied"
)

// descriptionMax is how much of a server's own words an error repeats: two
// lines of a terminal.
const descriptionMax = 200

// retryAfterMax bounds Retry-After: a server that asks for more is asked again
// after a day all the same.
const retryAfterMax = 24 * time.Hour

func (e *Error) Error() string {
	s := fmt.Sprintf("ask %s endpoint of %q: ", e.Endpoint, e.Host)
	switch {
	case e.Code != "" && e.Description != "":
		return s + e.Code + " (" + e.Description + ")"
	case e.Code != "":
		return s + e.Code
	case e.Description != "":
		return s + e.Description
	}
	return s + "status " + strconv.Itoa(e.Status)
}

// Unwrap gives the cause where the request did not get an answer.
func (e *Error) Unwrap() error { return e.cause }

// Temporary reports that this is no verdict on what was sent: the server was
// not reached, has a bad day, is in a hurry or answered what no such server
// answers. What was sent may still be good.
func (e *Error) Temporary() bool {
	switch {
	case e.Code == "", e.Code == "temporarily_unavailable", e.Code == "server_error":
		return true
	}
	return e.Status == http.StatusTooManyRequests || e.Status >= 500
}

// Is makes errors.Is(err, &Error{Code: CodeInvalidGrant}) work.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code != "" && t.Code == e.Code && t.Endpoint == "" && t.Host == ""
}

// unanswered is the error of a request that got no answer. The client's error
// is taken apart, because it prints the whole URL.
func unanswered(name, host string, err error) *Error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	e := &Error{Endpoint: name, Host: plain.Clean(host), cause: err}
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		e.Description = "canceled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.Description = "no answer in time"
	default:
		e.Description = short(err.Error())
	}
	return e
}

// odd is the error of an answer that no such endpoint gives.
func (a *answer) odd(why string) *Error {
	return &Error{Endpoint: a.name, Host: a.host, Status: a.status, Description: why, RetryAfter: a.retryAfter}
}

// said is the error of an answer in the terms of RFC 6749 section 5.2. What
// the request held is taken out of it: some servers quote it.
func (a *answer) said(code, description string, sent []secret.Value) *Error {
	return &Error{
		Endpoint: a.name, Host: a.host, Status: a.status, RetryAfter: a.retryAfter,
		Code: errorCode(without(sent, code)), Description: short(without(sent, oneLine(description))),
	}
}

const (
	// quoted is how many bytes of a secret in a row are one: fewer occur in
	// words, and a server that cuts what it repeats leaves about so many.
	quoted = 8
	// quoteMax is how much of a server's text is looked through. What is shown
	// is less.
	quoteMax = 4 << 10
)

// without is the beginning of a server's text without secrets and their parts,
// plain and in the usual encodings: what a server says is told to agents, too.
func without(sent []secret.Value, text string) string {
	text = text[:min(len(text), quoteMax)]
	hidden := make([]bool, len(text))
	for _, v := range sent {
		for _, form := range forms(v.Reveal()) {
			for i := 0; i+quoted <= len(text); i++ {
				if strings.Contains(form, text[i:i+quoted]) {
					for j := range quoted {
						hidden[i+j] = true
					}
				}
			}
		}
	}
	var b strings.Builder
	for i := range len(text) {
		switch {
		case !hidden[i]:
			b.WriteByte(text[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString(secret.Redacted)
		}
	}
	return b.String()
}

// Quotes reports whether a text holds a secret or a part of it, in any of the
// usual encodings.
func Quotes(text string, v secret.Value) bool { return without([]secret.Value{v}, text) != text }

// forms are the ways in which a text may show s.
func forms(s string) []string {
	if len(s) < quoted {
		return nil
	}
	digits := hex.EncodeToString([]byte(s))
	list := []string{s, url.QueryEscape(s), url.PathEscape(s), digits, strings.ToUpper(digits)}
	for i := range 3 { // the alignments of base64
		part := []byte(s[i:])
		list = append(list, base64.RawStdEncoding.EncodeToString(part), base64.RawURLEncoding.EncodeToString(part))
	}
	return list
}

// errorCode is an error code with nothing in it that RFC 6749 section 5.2 does
// not allow, and no longer than any that is registered.
func errorCode(s string) string {
	out := strings.Map(func(r rune) rune {
		if r < 0x21 || r > 0x7e || r == '"' || r == '\\' {
			return '_'
		}
		return r
	}, s)
	return out[:min(len(out), 64)]
}

// oneLine is untrusted text on one line.
func oneLine(s string) string { return plain.Clean(strings.Join(strings.Fields(s), " ")) }

// short is untrusted text for one line of an error.
func short(s string) string {
	s = oneLine(s)
	if len(s) <= descriptionMax {
		return s
	}
	cut := descriptionMax - len("…")
	for cut > 0 && s[cut]&0xc0 == 0x80 {
		cut--
	}
	return s[:cut] + "…"
}

// retryAfter reads the field of that name: seconds or a date.
func retryAfter(v string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(strings.TrimSpace(v), 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if t, err := http.ParseTime(v); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), retryAfterMax)
}
