package broker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kb/internal/control"
	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/proxy"
	"kb/vaultfile"
)

// sameBytes is a source of the same bytes for ever: the luck of who asks again and
// again until an id comes a second time.
type sameBytes struct{}

func (sameBytes) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 7
	}
	return len(b), nil
}

// TestAttackIDComesAgain: a person is about to type the id of the request that
// they see, or its beginning. The agent withdraws that one, and makes others until
// one has the id.
func TestAttackIDComesAgain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := newApprovals(func() time.Time { return now })
	a.random = sameBytes{}
	hold := func() (*held, bool) {
		t.Helper()
		h, full, err := a.hold(control.Request{}, likeness{}, now.Add(holdTime), func(control.Request) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return h, full
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	seen := map[string]bool{}
	first, _ := hold()
	if got := a.find(first.request.ID); got != 0 { // the positive control
		t.Fatalf("it waits at %d", got)
	}
	seen[first.request.ID[:4]] = true
	if ended := a.wait(gone, t.Context(), first); ended != abandoned {
		t.Fatalf("ended %d", ended)
	}
	for i := range holdRate - 1 {
		h, full := hold()
		if full {
			t.Fatalf("only %d may wait within a minute", i+1)
		}
		if id := h.request.ID; len(id) != 6 || seen[id[:4]] {
			t.Fatalf("%s begins as an id of before", id)
		}
		seen[h.request.ID[:4]] = true
		if err := a.answer(first.request.ID, control.Once); !errors.Is(err, control.ErrNoRequest) {
			t.Fatalf("the answer to the first was taken for %s: %v", h.request.ID, err)
		}
		a.wait(gone, t.Context(), h)
	}
	if _, full := hold(); !full {
		t.Error("an agent may make as many as it likes")
	}
	now = now.Add(2 * time.Minute)
	if _, full := hold(); full {
		t.Error("none may wait a minute later")
	}
}

// TestAttackApprovedAsAnother: what a person approved as one account goes on as
// another, because the login of the name has become another one's.
func TestAttackApprovedAsAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	become := func(account string, sessions ...*Session) {
		f.edit(func(tx *vaultfile.Tx) error {
			return tx.PutLogin(vaultfile.Login{
				Profile: "work", Provider: "github", Method: "token", Account: account,
				Secrets: map[string]secret.Value{"token": secret.New(f.workToken)},
			})
		})
		for _, s := range sessions {
			s.refresh(t.Context())
		}
	}
	become("octocat")
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	get := func() <-chan outcome { return f.asks(t.Context(), s, http.MethodGet, apiUser, nil) }

	ended := get()
	r := f.waiting(s, 1)[0]
	if r.Login != "octocat" {
		t.Fatalf("asked as %q", r.Login)
	}
	f.answer(s, r.ID, control.Session)
	if got := f.ended(ended); got != sendsOn {
		t.Fatalf("%+v", got)
	}
	become("octocat", s) // the positive control: it is the same one
	if got := f.ended(get()); got != sendsOn {
		t.Fatalf("its like: %+v", got)
	}

	// For the session, and then another one is logged in.
	become("admin", s)
	ended = get()
	r2 := f.waitingOr(s, ended, "as another account")
	if r2 == nil {
		return
	}
	if r2.Login != "admin" {
		t.Errorf("asked as %q", r2.Login)
	}
	// Once, and while it waited.
	become("root", s)
	f.answer(s, r2.ID, control.Once)
	if r3 := f.waitingOr(s, ended, "as another account than was shown"); r3 != nil {
		if r3.Login != "root" {
			t.Errorf("asked as %q", r3.Login)
		}
		f.answer(s, r3.ID, control.Deny)
		if got := f.ended(ended); got.code != CodeApprovalDenied {
			t.Errorf("%+v", got)
		}
	}
}

// TestAttackDressedPath: the path is written so that nobody reads what it says.
func TestAttackDressedPath(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	for given, want := range map[string]string{
		"/repos/acme/api/issues":                                             "/repos/acme/api/issues",
		"/%72%65%70%6f%73/acme/api/%68%6f%6f%6b%73/%64%65lete":               "/repos/acme/api/hooks/delete",
		"/repos/acme/api/contents/a%2fb%e2%80%ae":                            "/repos/acme/api/contents/a%2Fb%E2%80%AE",
		"/app/installations/1/%61ccess_tokens/" + strings.Repeat("%61", 700): "/app/installations/1/access_tokens/" + strings.Repeat("a", 700),
	} {
		info := &proxy.RequestInfo{Scheme: "https", Method: http.MethodPost, Path: given}
		info.Host, info.Port, info.User = "api.github.com", 443, "kb"
		ended := make(chan error, 1)
		go func() { _, err := s.Authorize(t.Context(), info); ended <- err }()
		r := f.waiting(s, 1)[0]
		if r.Path != want {
			t.Errorf("%.60s is shown as %.60q", given, r.Path)
		}
		f.answer(s, r.ID, control.Deny)
		if err := <-ended; err == nil {
			t.Error("it went on")
		}
	}
}

// TestAttackPathNamedElsewhere: a field by which some servers read another path
// than the one that was judged.
func TestAttackPathNamedElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Path: "/repos/acme/api/hooks/**"}, s)
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, apiUser, http.Header{"X-Original-Name": {"/repos/acme/api/hooks"}}); got != sendsOn { // the positive control
		t.Fatalf("%+v", got)
	}
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "x_original_url"} {
		if got := f.authorize(t.Context(), s, "kb", http.MethodGet, apiUser, http.Header{name: {"/repos/acme/api/hooks"}}); got.code != CodePath {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// dialed is a client of the session's child that writes its bytes itself, in an
// intercepted tunnel to the API.
func (f *fixture) dialed(s *Session, protocol string) *tls.Conn {
	f.Helper()
	address, err := url.Parse(value(s, "HTTPS_PROXY"))
	if err != nil {
		f.Fatal(err)
	}
	raw, err := (&net.Dialer{}).DialContext(f.Context(), "tcp", address.Host)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = raw.Close() })
	_ = raw.SetDeadline(time.Now().Add(30 * time.Second))
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: "api.github.com:443"}, Host: "api.github.com:443", Header: http.Header{}}
	password, _ := address.User.Password()
	request.SetBasicAuth(address.User.Username(), password)
	request.Header["Proxy-Authorization"] = request.Header["Authorization"]
	delete(request.Header, "Authorization")
	if err := request.Write(raw); err != nil {
		f.Fatal(err)
	}
	// The tunnel's first bytes are the client's: nothing of them is in the buffer.
	response, err := http.ReadResponse(bufio.NewReaderSize(raw, 16), request)
	if err != nil || response.StatusCode != http.StatusOK {
		f.Fatalf("CONNECT: %v %v", response, err)
	}
	config := f.transport(s, "").TLSClientConfig
	config.ServerName, config.NextProtos = "api.github.com", []string{protocol}
	secure := tls.Client(raw, config)
	if err := secure.HandshakeContext(f.Context()); err != nil {
		f.Fatal(err)
	}
	return secure
}

// TestAttackPipelined: what comes on a connection behind a request that waits is
// neither sent with it nor approved by its answer, and the body of one that was
// refused is no request.
func TestAttackPipelined(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask", Methods: []string{"POST"}})
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Methods: []string{"DELETE"}}, s)
	head := func(method, path, more string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: api.github.com\r\n" + more + "\r\n"
	}
	arrivals := func() (list []string) {
		for _, r := range f.api.Requests() {
			list = append(list, r.Method+" "+r.Path)
		}
		slices.Sort(list)
		f.api.Forget()
		return list
	}
	c := f.dialed(s, "http/1.1")
	in := bufio.NewReader(c)
	status := func() int {
		t.Helper()
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode
	}
	if _, err := io.WriteString(c, head("POST", "/one", "Content-Length: 0\r\n")+head("GET", "/two", "")+head("DELETE", "/three", "")+head("POST", "/four", "Content-Length: 0\r\n")); err != nil {
		t.Fatal(err)
	}
	one := f.waiting(s, 1)[0]
	if got := arrivals(); one.Path != "/one" || len(got) != 0 {
		t.Fatalf("%s waits, arrived %q", one.Path, got)
	}
	f.answer(s, one.ID, control.Once)
	if one, two, three := status(), status(), status(); one != 200 || two != 200 || three != 403 {
		t.Errorf("answers %d %d %d", one, two, three)
	}
	four := f.waiting(s, 1)[0]
	if got := arrivals(); four.Path != "/four" || !slices.Equal(got, []string{"GET /two", "POST /one"}) {
		t.Errorf("%s waits, arrived %q", four.Path, got)
	}
	f.answer(s, four.ID, control.Deny)
	if got := status(); got != 403 {
		t.Errorf("the last: %d", got)
	}

	// A body that looks like a request, of one that is refused before it is read.
	c = f.dialed(s, "http/1.1")
	in = bufio.NewReader(c)
	smuggled := head("GET", "/smuggled", "")
	if _, err := io.WriteString(c, head("POST", "/five", "Content-Length: "+strconv.Itoa(len(smuggled))+"\r\n")+smuggled); err != nil {
		t.Fatal(err)
	}
	five := f.waiting(s, 1)[0]
	f.answer(s, five.ID, control.Deny)
	if got := status(); got != 403 {
		t.Errorf("refused: %d", got)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("the connection goes on: %v", err)
	}
	if got := arrivals(); len(got) != 0 {
		t.Errorf("arrived %q", got)
	}
}

// framed is an HTTP/2 client that writes its frames itself.
type framed struct {
	*http2.Framer
	*fixture
}

func (f *fixture) framed(s *Session) framed {
	f.Helper()
	c := f.dialed(s, "h2")
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		f.Fatal(err)
	}
	if err := fr.WriteSettings(); err != nil {
		f.Fatal(err)
	}
	return framed{fr, f}
}

func (h framed) ask(stream uint32, fields ...string) {
	h.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		h.Fatal(err)
	}
}

// ended reads until the stream has a status, or has ended without.
func (h framed) ended(stream uint32) string {
	h.Helper()
	for {
		frame, err := h.ReadFrame()
		if err != nil {
			return "connection ended"
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			if frame.StreamID == stream {
				return frame.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == stream {
				return "reset"
			}
		case *http2.GoAwayFrame:
			return "connection ended"
		}
	}
}

// TestAttackPseudoFieldsRoundADeny: HTTP/2 says method, host and path in fields of
// their own, in which more can be written than a request line takes.
func TestAttackPseudoFieldsRoundADeny(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Methods: []string{"DELETE"}})
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Path: "/repos/acme/api/hooks/**"}, s)
	request := func(method, authority, path string, more ...string) []string {
		return append([]string{":method", method, ":scheme", "https", ":authority", authority, ":path", path}, more...)
	}
	const host, hooks = "api.github.com", "/repos/acme/api/hooks"
	h := f.framed(s)
	h.ask(1, request("GET", host, "/user")...)
	if got := h.ended(1); got != "200" { // the positive control
		t.Fatalf("%s", got)
	}
	f.api.Forget()
	for name, fields := range map[string][]string{
		"path":                  request("GET", host, hooks),
		"path with a fragment":  request("GET", host, "/user#"+hooks),
		"path that is absolute": request("GET", host, "https://"+host+hooks),
		"path with two slashes": request("GET", host, "/"+hooks),
		"path without a slash":  request("GET", host, "repos/acme/api/hooks"),
		"path of a star":        request("GET", host, "*"),
		"path with a blank":     request("GET", host, hooks+" HTTP/1.1"),
		"path with dots":        request("GET", host, "/repos/acme/api/x/../hooks"),
		"path, half encoded":    request("GET", host, "/repos/acme/api/hook%7"),
		"path twice":            request("GET", host, "/user", ":path", hooks),
		"method":                request("DELETE", host, "/user"),
		"method in lower case":  request("delete", host, "/user"),
		"method with a blank":   request("DELETE ", host, "/user"),
		"method with a break":   request("GET /x HTTP/1.1\r\nDELETE", host, "/user"),
		"method in a field":     request("POST", host, "/user", "x-http-method-override", "DELETE"),
		"trace":                 request("trace", host, "/user"),
		"connect":               {":method", "CONNECT", ":authority", host},
		"extended connect":      {":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", host, ":path", "/user"},
		"path in a field":       request("GET", host, "/user", "x-original-url", hooks),
		"pseudo field later":    {":method", "GET", ":scheme", "https", ":authority", host, "accept", "*/*", ":path", hooks},
		"a name in upper case":  request("GET", host, "/user", "X-HTTP-Method-Override", "DELETE"),
		"an upgrade":            request("GET", host, "/user", "connection", "upgrade", "upgrade", "websocket"),
		"another host":          request("GET", "uploads.github.com", "/user"),
		"no host":               {":method", "GET", ":scheme", "https", ":path", "/user"},
		"two hosts":             request("GET", host, "/user", ":authority", "uploads.github.com"),
		"plain":                 {":method", "GET", ":scheme", "http", ":authority", host, ":path", "/user"},
	} {
		h := f.framed(s)
		h.ask(1, fields...)
		if got := h.ended(1); strings.HasPrefix(got, "2") || strings.HasPrefix(got, "1") {
			t.Errorf("%s: %s", name, got)
		}
		if n := len(f.api.Requests()); n != 0 {
			t.Errorf("%s: %d arrived: %s %s", name, n, f.api.Requests()[0].Method, f.api.Requests()[0].Path)
			f.api.Forget()
		}
	}
	// A host that says the same twice is the same host.
	h = f.framed(s)
	h.ask(1, request("GET", host, "/user", "host", "uploads.github.com")...)
	h.ended(1)
	for _, r := range f.api.Requests() {
		if r.Host != host {
			t.Errorf("arrived at %s", r.Host)
		}
	}
}

// TestAttackHeldStreamIsReset: a stream that waits is given up, and another asks
// for something else on its connection. The answer to the first is none to the
// second.
func TestAttackHeldStreamIsReset(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	ask := func(h framed, stream uint32, path string) {
		h.ask(stream, ":method", "GET", ":scheme", "https", ":authority", "api.github.com", ":path", path)
	}
	h := f.framed(s)
	ask(h, 1, "/harmless")
	first := f.waiting(s, 1)[0]
	if err := h.WriteRSTStream(1, http2.ErrCodeCancel); err != nil {
		t.Fatal(err)
	}
	f.waiting(s, 0)
	ask(h, 3, "/evil")
	second := f.waiting(s, 1)[0]
	if err := s.Answer(t.Context(), first.ID, control.Once); !errors.Is(err, control.ErrNoRequest) {
		t.Errorf("the first was approved: %v", err)
	}
	if second.Path != "/evil" || second.ID == first.ID {
		t.Errorf("%+v", second)
	}
	f.answer(s, second.ID, control.Deny)
	if got := h.ended(3); got != "403" {
		t.Errorf("the second: %s", got)
	}
	ask(h, 5, "/third") // the positive control
	f.answer(s, f.waiting(s, 1)[0].ID, control.Once)
	if got := h.ended(5); got != "200" {
		t.Errorf("the third: %s", got)
	}
	if list := f.api.Requests(); len(list) != 1 || list[0].Path != "/third" {
		t.Errorf("%d arrived", len(list))
	}
}

// TestAttackWebsocket: a websocket is a GET, and what goes over it is anything. It
// is judged, a person sees that it is one, and none is opened by what was said of
// plain requests.
func TestAttackWebsocket(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	lab := f.world.Serve("uploads.github.com", testkit.OriginConfig{Handler: testkit.Lab()})
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask", Path: "/ws"})
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Path: "/ws/denied"}, s)
	upgrade := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	open := func(path string, header http.Header) <-chan int {
		got := make(chan int, 1)
		go func() {
			transport := f.transport(s, "")
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://uploads.github.com"+path, nil)
			if err != nil {
				panic(err)
			}
			request.Header = header
			response, err := transport.RoundTrip(request)
			if err != nil {
				got <- 0
				return
			}
			_ = response.Body.Close()
			got <- response.StatusCode
		}()
		return got
	}
	if got := <-open("/ws/denied", upgrade); got != http.StatusForbidden {
		t.Errorf("denied: %d", got)
	}
	if n := len(lab.Requests()); n != 0 {
		t.Fatalf("%d arrived", n)
	}
	plainly := open("/ws", http.Header{})
	r := f.waiting(s, 1)[0]
	if r.Websocket {
		t.Error("a plain request is shown as a websocket")
	}
	f.answer(s, r.ID, control.Session)
	<-plainly
	lab.Forget()
	socket := open("/ws", upgrade)
	waiting := f.waiting(s, 1)
	if !waiting[0].Websocket {
		t.Error("a person does not see that it is a websocket")
	}
	f.answer(s, waiting[0].ID, control.Deny)
	if got := <-socket; got != http.StatusForbidden || len(lab.Requests()) != 0 {
		t.Errorf("denied by a person: %d, %d arrived", got, len(lab.Requests()))
	}
	socket = open("/ws", upgrade) // the positive control
	f.answer(s, f.waiting(s, 1)[0].ID, control.Once)
	if got := <-socket; got != http.StatusSwitchingProtocols {
		t.Errorf("approved: %d", got)
	}
}
