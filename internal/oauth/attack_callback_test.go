package oauth_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestAttackCallbackIsHeld: pages and programs of this machine hold the listener
// with requests that never end, and with ones of megabytes. The browser gets
// through all the same, and the login ends when it has its answer.
func TestAttackCallbackIsHeld(t *testing.T) {
	w := newWorld(t)
	l := w.start(w.server())
	to, err := url.Parse(l.Redirect())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", to.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = fmt.Fprintf(conn, "GET %s?state=%d HTTP/1.1\r\nHost: %s\r\n", to.Path, i, to.Host) // and no end
	}
	long, err := new(net.Dialer).DialContext(t.Context(), "tcp", to.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer long.Close()
	_ = long.SetDeadline(time.Now().Add(10 * time.Second))
	go func() {
		_, _ = io.WriteString(long, "GET "+to.Path+"?state=x&code=")
		for range 256 {
			if _, err := io.WriteString(long, strings.Repeat("c", 4<<10)); err != nil {
				return
			}
		}
	}()
	said, _ := io.ReadAll(io.LimitReader(long, 64<<10))
	if status := string(said[:min(len(said), 12)]); status != "HTTP/1.1 431" && len(said) > 0 {
		t.Errorf("a query of a megabyte was answered with %q", status)
	}
	answer := w.browse(l.URL()).String()
	response, err := http.Get(answer)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the browser's answer: status %d", response.StatusCode)
	}
	if got, err := l.Wait(w.ctx()); err != nil || got.Access.IsZero() {
		t.Errorf("the login: %v", err)
	}
	began := time.Now()
	l.Close()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the port was freed after %v", took)
	}
}
