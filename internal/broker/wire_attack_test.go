package broker

import (
	"bufio"
	"bytes"
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
	"kb/internal/testkit"
	"kb/vaultfile"
)

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
