package providers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"kb/internal/golden"
)

// vendor stands for every host of a golden file of grants: it compares what
// arrives with the step that is expected and answers as the vendor's page says.
type vendor struct {
	mu     sync.Mutex
	expect []*golden.Step
	fetch  map[string]*golden.Step
	asked  map[string]bool   // fetches that were made
	bound  map[string]string // what stood for a name in braces
	diffs  []error

	here, there string // a redirect URI, and the one that it stands for
}

// next says what the flow is to ask now.
func (v *vendor) next(steps ...*golden.Step) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.expect = steps
}

func (v *vendor) differ(format string, a ...any) {
	v.diffs = append(v.diffs, fmt.Errorf(format, a...))
}

// finish reports steps that were never asked for.
func (v *vendor) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.expect {
		v.differ("line %d, %s: was not asked for", s.Line, s.Title)
	}
	v.expect = nil
}

// RoundTrip is the vendor without a network.
func (v *vendor) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.Host = r.URL.Host
	v.ServeHTTP(w, in)
	res := w.Result()
	res.Request = r
	return res, nil
}

func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	at := "https://" + r.Host + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		at += "?" + r.URL.RawQuery
	}
	if r.Method == http.MethodGet {
		s := v.fetch[at]
		if s == nil {
			http.NotFound(w, r)
			return
		}
		v.asked[at] = true
		v.answer(w, s)
		return
	}
	if len(v.expect) == 0 {
		v.differ("%s %s was not to be asked", r.Method, at)
		http.Error(w, "{}", http.StatusTeapot)
		return
	}
	s := v.expect[0]
	v.expect = v.expect[1:]
	v.compare(s, r, at)
	v.answer(w, s)
}

func (v *vendor) answer(w http.ResponseWriter, s *golden.Step) {
	for _, h := range s.AnswerHeader {
		w.Header().Set(h.Name, h.Value)
	}
	if s.Answer != "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(s.Status)
	_, _ = io.WriteString(w, s.Answer)
}

// compare holds a request to its step.
func (v *vendor) compare(s *golden.Step, r *http.Request, at string) {
	where := fmt.Sprintf("line %d, %s", s.Line, s.Title)
	if r.Method != s.HTTPMethod || at != s.URL {
		v.differ("%s: asked %s %s", where, r.Method, at)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		v.differ("%s: %v", where, err)
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	params, err := parameters(kind, body)
	if err != nil {
		v.differ("%s: %v", where, err)
	}
	v.sameParams(where, s.Params, params)
	wantKind, authorization := "application/x-www-form-urlencoded", false
	for _, h := range s.Header {
		switch h.Name {
		case "Content-Type":
			wantKind = h.Value
		case "Authorization":
			authorization = true
			fallthrough
		default:
			if got := r.Header.Values(h.Name); len(got) != 1 || !v.fits(h.Value, got[0]) {
				v.differ("%s: %s is not %q", where, h.Name, h.Value)
			}
		}
	}
	if len(s.Params) > 0 && kind != wantKind {
		v.differ("%s: body is %q", where, kind)
	}
	if !authorization && r.Header.Get("Authorization") != "" {
		v.differ("%s: there is an Authorization", where)
	}
	v.claims(where, s)
}

// parameters reads a form or a JSON object, each name once.
func parameters(kind string, body []byte) (map[string]string, error) {
	params := map[string]string{}
	if kind == "application/json" {
		var object map[string]any
		if err := json.Unmarshal(body, &object); err != nil {
			return nil, fmt.Errorf("body is no JSON object")
		}
		for name, value := range object {
			text, ok := value.(string)
			if !ok {
				compact, err := json.Marshal(value)
				if err != nil {
					return nil, err
				}
				text = string(compact)
			}
			params[name] = text
		}
		return params, nil
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, fmt.Errorf("body is no form")
	}
	for name, list := range values {
		if len(list) != 1 {
			return nil, fmt.Errorf("%s comes %d times", name, len(list))
		}
		params[name] = list[0]
	}
	return params, nil
}

// sameParams compares parameters as sets.
func (v *vendor) sameParams(where string, want []golden.Pair, got map[string]string) {
	got = maps.Clone(got)
	for _, p := range want {
		value, ok := got[p.Name]
		if v.here != "" && value == v.here {
			value = v.there
		}
		if !ok {
			v.differ("%s: %s does not arrive", where, p.Name)
		} else if !v.fits(p.Value, value) {
			v.differ("%s: %s arrives as %q", where, p.Name, value)
		}
		delete(got, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		v.differ("%s: %s arrives, as %q", where, name, got[name])
	}
}

var inBraces = regexp.MustCompile(`\{([a-z]+)\}`)

// fits compares a value with what the golden file says, where a name in braces
// stands for one value throughout.
func (v *vendor) fits(want, got string) bool {
	names := inBraces.FindAllStringSubmatch(want, -1)
	pattern := "^" + inBraces.ReplaceAllString(regexp.QuoteMeta(strings.NewReplacer("{", "\x00", "}", "\x01").Replace(want)), "") + "$"
	pattern = regexp.MustCompile("\x00[a-z]+\x01").ReplaceAllString(pattern, "(.+)")
	found := regexp.MustCompile(pattern).FindStringSubmatch(got)
	if found == nil {
		return false
	}
	for i, name := range names {
		if was, ok := v.bound[name[1]]; ok && was != found[i+1] {
			return false
		}
		v.bound[name[1]] = found[i+1]
	}
	return true
}

// paired reports whether a verifier belongs to the challenge (RFC 7636 section
// 4.6) where there were both.
func (v *vendor) paired() bool {
	verifier, one := v.bound["verifier"]
	challenge, two := v.bound["challenge"]
	if !one || !two {
		return true
	}
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:]) == challenge
}

// claims reads the JWT that stood for {assertion}.
func (v *vendor) claims(where string, s *golden.Step) {
	if len(s.Claims) == 0 {
		return
	}
	parts := strings.Split(v.bound["assertion"], ".")
	delete(v.bound, "assertion")
	if len(parts) != 3 {
		v.differ("%s: assertion is no JWT", where)
		return
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		v.differ("%s: %v", where, err)
		return
	}
	got, err := parameters("application/json", text)
	if err != nil {
		v.differ("%s: %v", where, err)
		return
	}
	for _, c := range s.Claims {
		if got[c.Name] != c.Value {
			v.differ("%s: claim %s is %q", where, c.Name, got[c.Name])
		}
	}
}
