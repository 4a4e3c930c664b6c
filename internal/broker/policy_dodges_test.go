package broker

import (
	"net/http"
	"strings"
	"testing"

	"kb/internal/control"
	"kb/vaultfile"
)

// TestAttackMethodNamedElsewhere: the ways in which vendors' servers take another
// method than the request line has, under a line about that method.
func TestAttackMethodNamedElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Methods: []string{"DELETE"}}, s)
	for name, header := range map[string]http.Header{ // the positive control
		"/user":                     nil,
		"/user?_HttpMethod=PATCH":   nil,
		"/user?my_method=DELETE":    nil,
		"/user?_method=":            nil,
		"/user?a=1":                 {"X-Http-Method-Overrides": {"DELETE"}},
		"/user?b=1&_method=OPTIONS": {"X_Http_Method": {"PUT"}},
	} {
		if got := f.authorize(t.Context(), s, "kb", http.MethodPost, "https://api.github.com"+name, header); got != sendsOn {
			t.Errorf("%s %v does not pass: %+v", name, header, got)
		}
	}
	for _, query := range []string{
		"_HttpMethod=DELETE", // Salesforce
		"_httpmethod=delete", "_METHOD=DELETE", "a=b;_Method=DELETE", "%5FHttpMethod=DELETE",
	} {
		if got := f.authorize(t.Context(), s, "kb", http.MethodPost, apiUser+"?"+query, nil); got.code != CodePolicy {
			t.Errorf("%s: %+v", query, got)
		}
	}
	// CGI and what descends from it (WSGI, Rack, PHP) sees no difference between
	// "-" and "_".
	for _, name := range []string{"X_HTTP_METHOD_OVERRIDE", "X-HTTP_Method-Override", "X_Http_Method", "x_method_override"} {
		if got := f.authorize(t.Context(), s, "kb", http.MethodPost, apiUser, http.Header{name: {"DELETE"}}); got.code != CodePolicy {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// TestAttackFloodOfMethods: an agent names so many methods that nobody reads to
// the one that counts, or that judging them takes long.
func TestAttackFloodOfMethods(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	ask := func(values []string) (shown string, got outcome) {
		ended := f.asks(t.Context(), s, http.MethodPost, apiUser, http.Header{"X-Http-Method-Override": values})
		for {
			changed := s.Changed()
			if list := s.Waiting(); len(list) == 1 {
				f.answer(s, list[0].ID, control.Deny)
				f.ended(ended)
				return list[0].Method, outcome{}
			}
			select {
			case <-changed:
			case got := <-ended:
				return "", got
			}
		}
	}
	if shown, _ := ask([]string{"GET"}); shown != "POST, GET" { // the positive control
		t.Fatalf("shown %q", shown)
	}
	var same, many []string
	for i := range 2000 {
		same = append(same, "GET")
		many = append(many, "GET"+strings.Repeat("X", 1+i%50)+string(rune('A'+i/50)))
	}
	if shown, _ := ask(append(same, "DELETE")); shown != "POST, GET, DELETE" {
		t.Errorf("of 2,000 times the same, and one, is shown %.80q", shown)
	}
	if shown, got := ask(append(many, "DELETE")); got.code != CodePath {
		t.Errorf("2,000 methods are shown as %.80q, or %+v", shown, got)
	}
	// Blanks that end a line on the screen, and then another host.
	if shown, _ := ask([]string{"GET" + strings.Repeat(" ", 60) + "host       harmless.example"}); strings.Contains(shown, "  ") || strings.Contains(shown, "harmless") {
		t.Errorf("shown %q", shown)
	}
}

// TestAttackPathThatIsNotShownWhole: what a person is asked about has a path that
// is cut before it comes to what counts.
func TestAttackPathThatIsNotShownWhole(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	long := func(n int) string { return "/repos/acme/api/contents/" + strings.Repeat("x", n) + "/secret" }
	ended := f.asks(t.Context(), s, http.MethodPut, "https://api.github.com"+long(1000), nil)
	r := f.waiting(s, 1)[0]
	if r.Path != long(1000) { // the positive control
		t.Errorf("shown %.40q", r.Path)
	}
	f.answer(s, r.ID, control.Deny)
	f.ended(ended)
	ended = f.asks(t.Context(), s, http.MethodPut, "https://api.github.com"+long(control.MaxText), nil)
	if r := f.waitingOrEnded(s, ended); r != nil {
		t.Errorf("a person is asked about a path of %d bytes", len(r.Path))
	}
}

// waitingOrEnded is the request that waits, or nil once it was refused for its
// path.
func (f *fixture) waitingOrEnded(s *Session, ended <-chan outcome) *control.Request {
	f.Helper()
	for {
		changed := s.Changed()
		if list := s.Waiting(); len(list) == 1 {
			f.answer(s, list[0].ID, control.Deny)
			<-ended
			return &list[0]
		}
		select {
		case <-changed:
		case got := <-ended:
			if got.code != CodePath {
				f.Errorf("%+v", got)
			}
			return nil
		}
	}
}

// TestAttackMediaTypeForThePerson: a content type is no place for a screen's other
// lines.
func TestAttackMediaTypeForThePerson(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	for given, want := range map[string]string{
		"application/vnd.github+json; charset=utf-8":              "application/vnd.github+json",
		"text/plain" + strings.Repeat(" ", 60) + "host  harmless": "no media type",
		"text/" + strings.Repeat("x", 4000):                       "no media type",
	} {
		ended := f.asks(t.Context(), s, http.MethodPost, apiUser, http.Header{"Content-Type": {given}})
		r := f.waiting(s, 1)[0]
		if r.Type != want {
			t.Errorf("%.40q is shown as %.80q", given, r.Type)
		}
		f.answer(s, r.ID, control.Deny)
		f.ended(ended)
	}
}

// TestEveryLimitCounts: a request is counted against each line that limits it,
// also against one that came while it waited, and against none twice.
func TestEveryLimitCounts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask", Methods: []string{"POST"}})
	f.line(vaultfile.Policy{Profile: "work", Effect: "limit", PerMinute: 2, Provider: "github"}, s)
	first := f.asks(t.Context(), s, http.MethodPost, apiUser, nil)
	r := f.waiting(s, 1)[0]
	f.line(vaultfile.Policy{Profile: "work", Effect: "limit", PerMinute: 1, Methods: []string{"POST"}}, s)
	f.answer(s, r.ID, control.Session)
	if got := f.ended(first); got != sendsOn {
		t.Fatalf("the first: %+v", got)
	}
	if got := f.authorize(t.Context(), s, "kb", http.MethodPost, apiUser, nil); got.code != CodeLimit {
		t.Errorf("over the limit that came while the first waited: %+v", got)
	}
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, apiUser, nil); got != sendsOn {
		t.Errorf("the second of two: %+v", got)
	}
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, apiUser, nil); got.code != CodeLimit {
		t.Errorf("the third of two: %+v", got)
	}
}
