package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kb/internal/plain"
	"kb/internal/secret"
)

// requestLimit is how long one request may take with its answer. Authorization
// servers answer within a second; ten is what a person waits for.
const requestLimit = 10 * time.Second

// answerMax bounds the body of an answer. The largest honest ones, metadata
// documents, have some 10 KiB.
const answerMax = 1 << 20

// addressMax bounds an endpoint's URL, as browsers' and servers' own bounds do.
const addressMax = 4 << 10

// answer is what an endpoint said.
type answer struct {
	name, host string // of the endpoint, for errors
	status     int
	header     http.Header
	body       []byte
	retryAfter time.Duration
}

// endpoint parses the URL of an endpoint: https, a host, no user and no
// fragment (RFC 6749 section 3). name is what errors call it.
func endpoint(name, raw string) (*url.URL, error) {
	if raw == "" {
		return nil, fmt.Errorf("find %s endpoint: the server has none", name)
	}
	if len(raw) > addressMax {
		return nil, fmt.Errorf("refuse %s endpoint: its URL is longer than %d bytes", name, addressMax)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		return nil, fmt.Errorf("read %s endpoint: not an absolute URL", name)
	}
	switch {
	case u.Scheme != "https":
		return nil, fmt.Errorf("refuse %s endpoint of %q: not https", name, plain.Clean(u.Host))
	case u.User != nil:
		return nil, fmt.Errorf("refuse %s endpoint of %q: the URL names a user", name, plain.Clean(u.Host))
	case strings.Contains(raw, "#"):
		return nil, fmt.Errorf("refuse %s endpoint of %q: the URL has a fragment", name, plain.Clean(u.Host))
	}
	return u, nil
}

// send makes one request and reads its answer up to the bound. Redirects are
// answers that are refused.
func (f *Flows) send(ctx context.Context, name string, req *http.Request) (*answer, error) {
	return f.sendMax(ctx, name, req, answerMax)
}

// sendMax is send for another bound; 0 reads no body at all.
func (f *Flows) sendMax(ctx context.Context, name string, req *http.Request, most int64) (*answer, error) {
	u, err := endpoint(name, req.URL.String())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.limit)
	defer cancel()
	req = req.WithContext(ctx)
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "kb")
	}
	res, err := f.client.Do(req)
	if err != nil {
		return nil, unanswered(name, u.Host, err)
	}
	defer res.Body.Close()
	a := &answer{name: name, host: plain.Clean(u.Host), status: res.StatusCode, header: res.Header}
	if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
		a.retryAfter = retryAfter(res.Header.Get("Retry-After"), f.now())
	}
	if a.status >= 300 && a.status < 400 {
		return nil, a.odd(fmt.Sprintf("answered with a redirect (status %d), which is not followed", a.status))
	}
	if most == 0 {
		return a, nil
	}
	a.body, err = io.ReadAll(io.LimitReader(res.Body, most+1))
	if err != nil {
		e := unanswered(name, u.Host, err)
		e.Description = "the answer broke off: " + e.Description
		return nil, e
	}
	if int64(len(a.body)) > most {
		return nil, a.odd(fmt.Sprintf("the answer has more than %d KiB", most>>10))
	}
	return a, nil
}

// object is the answer's body as a JSON object. The label is not asked: some
// servers send JSON as text/plain or text/html, and only parsing tells.
func (a *answer) object() (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(a.body, &m); err != nil || m == nil {
		return nil, a.odd(fmt.Sprintf("the answer (status %d) is not a JSON object", a.status))
	}
	return m, nil
}

// success is the object of an answer that says yes. sent are the secrets that
// the request held. A status of 200 with an "error" is a no (GitHub, Slack).
func (a *answer) success(sent []secret.Value) (map[string]json.RawMessage, error) {
	m, err := a.object()
	if err != nil && a.status < 300 {
		return nil, err
	}
	if code := text(m["error"]); code != "" {
		return nil, a.said(code, text(m["error_description"]), sent)
	}
	if a.status >= 300 {
		return nil, a.odd(fmt.Sprintf("status %d", a.status))
	}
	return m, nil
}

// text is a JSON string, or "" for anything else.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// seconds is a JSON number of seconds, which some servers write as a string.
// It is 0 for what is none, and at most ten years.
func seconds(raw json.RawMessage) time.Duration {
	const most = 10 * 365 * 24 * time.Hour
	n := json.Number(text(raw))
	if n == "" && json.Unmarshal(raw, &n) != nil {
		return 0
	}
	v, err := n.Float64()
	if err != nil || !(v > 0) {
		return 0
	}
	if v >= most.Seconds() {
		return most
	}
	return time.Duration(v * float64(time.Second)).Truncate(time.Second)
}

// epoch is a JSON number of seconds since 1970, or zero for 0 and for none.
func epoch(raw json.RawMessage) time.Time {
	var n int64
	if json.Unmarshal(raw, &n) != nil || n <= 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// words is a JSON list of strings, or nil.
func words(raw json.RawMessage) []string {
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return nil
	}
	return list
}

// told are the parameters whose values an error may repeat: what people mend is
// mostly there. A definition may put a secret into any other.
var told = []string{
	"grant_type", "scope", "client_id", "redirect_uri", "resource", "audience", "response_type", "code_challenge_method", "token_type_hint",
}

// secretsOf are the secrets among the parameters and header of a request.
func secretsOf(v url.Values, h http.Header) (sent []secret.Value) {
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if !slices.Contains(told, name) {
			sent = append(sent, secret.New(v.Get(name)))
		}
	}
	if _, credential, ok := strings.Cut(h.Get("Authorization"), " "); ok {
		sent = append(sent, secret.New(credential))
	}
	if _, key, ok := (&http.Request{Header: h}).BasicAuth(); ok {
		typed, err := url.QueryUnescape(key)
		if err != nil {
			typed = key
		}
		sent = append(sent, secret.New(key), secret.New(typed))
	}
	return sent
}

// post asks an endpoint with a form, or the same as a JSON object.
func (f *Flows) post(ctx context.Context, name, method, to string, v url.Values, asJSON bool, header http.Header) (*answer, []secret.Value, error) {
	sent := secretsOf(v, header)
	if asJSON {
		m := make(map[string]string, len(v))
		for k := range v {
			m[k] = v.Get(k)
		}
		body, err := jsonBody(m)
		if err != nil {
			return nil, nil, err
		}
		a, err := f.sendBody(ctx, name, method, to, body, "application/json", header)
		return a, sent, err
	}
	kind := "application/x-www-form-urlencoded"
	if len(v) == 0 {
		kind = "" // Dropbox refuses a kind where there is no body
	}
	a, err := f.sendBody(ctx, name, method, to, []byte(v.Encode()), kind, header)
	return a, sent, err
}

// postJSON asks an endpoint with a JSON object.
func (f *Flows) postJSON(ctx context.Context, name, to string, v any, header http.Header) (*answer, error) {
	body, err := jsonBody(v)
	if err != nil {
		return nil, err
	}
	return f.sendBody(ctx, name, http.MethodPost, to, body, "application/json", header)
}

func (f *Flows) sendBody(ctx context.Context, name, method, to string, body []byte, kind string, header http.Header) (*answer, error) {
	u, err := endpoint(name, to)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask %s endpoint: no method %q", name, short(method))
	}
	maps.Copy(req.Header, header)
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "application/json")
	}
	return f.send(ctx, name, req)
}

// jsonBody is v as JSON on one line.
func jsonBody(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, errors.New("encode request: not JSON")
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// authenticate adds what shows the client: to the form, or to the header
// (RFC 6749 section 2.3.1, where both parts are form-encoded first).
func authenticate(how ClientAuth, c Client, v url.Values, h http.Header) error {
	if how == AuthBasic && c.Secret.IsZero() {
		how = AuthNone
	}
	switch how {
	case AuthBasic:
		r := http.Request{Header: h}
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret.Reveal()))
		return nil
	case AuthPost, AuthNone, "":
		if c.ID != "" {
			v.Set("client_id", c.ID)
		}
		if how != AuthNone && !c.Secret.IsZero() {
			v.Set("client_secret", c.Secret.Reveal())
		}
		return nil
	}
	return fmt.Errorf("authenticate client: no way %q", string(how))
}

// scope joins scopes as the server wants them.
func (s Server) scope(scopes []string) string {
	sep := s.Separator
	if sep == "" {
		sep = " "
	}
	return strings.Join(scopes, sep)
}

// extra are the parameters of every token request that are the server's own.
func (s Server) extra(v url.Values) {
	for _, k := range slices.Sorted(maps.Keys(s.TokenParams)) {
		if !v.Has(k) {
			v.Set(k, s.TokenParams[k])
		}
	}
	if s.Resource != "" {
		v.Set("resource", s.Resource)
	}
}
