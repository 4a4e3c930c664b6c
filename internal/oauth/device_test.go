package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/testkit"
)

// device starts a device flow.
func (w *world) device() *oauth.Device {
	w.t.Helper()
	d, err := w.flows.Device(w.ctx(), w.server(), w.client, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func TestLoginDevicePending(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	if _, err := d.Ask(w.ctx()); !errors.Is(err, &oauth.Error{Code: oauth.CodeAuthorizationPending}) {
		t.Fatalf("nobody has decided: %v", err)
	}
	w.AuthServer.Device(d.UserCode, "approved", "authorization_pending", "authorization_pending")
	if _, err := d.Wait(w.ctx()); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{5 * time.Second, 5 * time.Second, 5 * time.Second}; !slices.Equal(w.clock.waits, want) {
		t.Errorf("waited %v, want %v", w.clock.waits, want)
	}
}

// TestLoginDeviceSlowDown: each slow_down adds five seconds for good (RFC 8628
// section 3.5), up to a minute.
func TestLoginDeviceSlowDown(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	w.AuthServer.Device(d.UserCode, "approved", append(slices.Repeat([]string{"slow_down"}, 13), "authorization_pending")...)
	if _, err := d.Wait(w.ctx()); err != nil {
		t.Fatal(err)
	}
	want := time.Duration(0)
	for i, got := range w.clock.waits {
		want = min(want+5*time.Second, time.Minute)
		if got != want {
			t.Fatalf("wait %d was %v, want %v", i, got, want)
		}
	}
	if len(w.clock.waits) != 15 {
		t.Errorf("asked %d times", len(w.clock.waits))
	}
}

func TestLoginDeviceExpired(t *testing.T) {
	w := newWorld(t)
	for _, decide := range []func(*oauth.Device){
		func(*oauth.Device) {}, // nobody ever comes
		func(d *oauth.Device) { w.AuthServer.Device(d.UserCode, "approved", "expired_token") }, // the server says so first
	} {
		d := w.device()
		decide(d)
		start := w.clock.Now()
		_, err := d.Wait(w.ctx())
		if !errors.Is(err, &oauth.Error{Code: oauth.CodeExpiredToken}) {
			t.Fatalf("an expired code: %v", err)
		}
		if took := w.clock.Now().Sub(start); took > 10*time.Minute {
			t.Errorf("it took %v", took)
		}
	}
	d := w.device()
	w.AuthServer.Device(d.UserCode, "approved")
	<-w.clock.After(11 * time.Minute)
	before := w.Count("")
	if _, err := d.Ask(w.ctx()); !errors.Is(err, &oauth.Error{Code: oauth.CodeExpiredToken}) {
		t.Errorf("asked too late: %v", err)
	}
	if w.Count("") != before {
		t.Error("a code that is known to have expired was sent")
	}
}

func TestLoginDeviceDenied(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	w.AuthServer.Device(d.UserCode, "denied")
	if _, err := d.Wait(w.ctx()); !errors.Is(err, &oauth.Error{Code: oauth.CodeAccessDenied}) {
		t.Fatalf("the person said no: %v", err)
	}
	if n := w.Count(""); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestDeviceServerAway: a server that is away or in a hurry is asked again,
// more slowly; its Retry-After counts.
func TestDeviceServerAway(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	w.AuthServer.Device(d.UserCode, "approved")
	w.AuthServer.Fault(
		testkit.AuthFault{Status: 502}, testkit.AuthFault{Body: "<html>", Status: 200}, testkit.AuthFault{Status: 429, RetryAfter: "45"},
	)
	if _, err := d.Wait(w.ctx()); err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 45 * time.Second}
	if !slices.Equal(w.clock.waits, want) {
		t.Errorf("waited %v, want %v", w.clock.waits, want)
	}
}

// TestDeviceResumed: --no-wait leaves the flow to another process.
func TestDeviceResumed(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	again := w.flows.ResumeDevice(w.server(), w.client, d.Pending())
	if again.UserCode != d.UserCode || !again.Expires.Equal(d.Expires) || again.Interval != d.Interval {
		t.Errorf("resumed as %+v", again)
	}
	w.AuthServer.Device(d.UserCode, "approved")
	if _, err := again.Wait(w.ctx()); err != nil {
		t.Fatal(err)
	}
}

func TestDeviceCanceled(t *testing.T) {
	w := newWorld(t)
	d := w.device()
	ctx, cancel := context.WithCancel(w.ctx())
	cancel()
	if _, err := d.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestDeviceAnswers: what a device endpoint may not say, and what is made of
// what it leaves out.
func TestDeviceAnswers(t *testing.T) {
	for _, c := range []struct{ name, body string }{
		{"no device code", `{"user_code":"A","verification_uri":"https://a.example/"}`},
		{"no user code", `{"device_code":"d","verification_uri":"https://a.example/"}`},
		{"http", `{"device_code":"d","user_code":"A","verification_uri":"http://a.example/"}`},
		{"no address", `{"device_code":"d","user_code":"A"}`},
		{"a script", `{"device_code":"d","user_code":"A","verification_uri":"javascript:alert(1)"}`},
		{"escapes in the code", `{"device_code":"d","user_code":"A\u001b[2J","verification_uri":"https://a.example/"}`},
		{"escapes in the address", `{"device_code":"d","user_code":"A","verification_uri":"https://a.example/\u202e"}`},
		{"a code that fills the screen", `{"device_code":"d","user_code":"` + longCode + `","verification_uri":"https://a.example/"}`},
	} {
		f := oauth.New(oauth.Options{Client: answering(200, "application/json", c.body)})
		if _, err := f.Device(t.Context(), exampleServer(), oauth.Client{ID: "c"}, nil); err == nil {
			t.Errorf("%s: taken", c.name)
		}
	}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, body, complete string
		expires, interval    time.Duration
	}{
		{"Google's name of the address", `{"device_code":"d","user_code":"A","verification_url":"https://a.example/"}`, "", 10 * time.Minute, 5 * time.Second},
		{"numbers as text", `{"device_code":"d","user_code":"A","verification_uri":"https://a.example/","expires_in":"60","interval":"7"}`, "", time.Minute, 7 * time.Second},
		{"too much of both", `{"device_code":"d","user_code":"A","verification_uri":"https://a.example/","expires_in":1e9,"interval":1e9}`, "", time.Hour, time.Minute},
		{"too little of both", `{"device_code":"d","user_code":"A","verification_uri":"https://a.example/","expires_in":-5,"interval":0.001}`, "", 10 * time.Minute, 5 * time.Second},
		{"the short way leads elsewhere", `{"device_code":"d","user_code":"A","verification_uri":"https://a.example/","verification_uri_complete":"https://evil.example/?c=A"}`, "", 10 * time.Minute, 5 * time.Second},
		{"the short way", `{"device_code":"d","user_code":"A","verification_uri":"https://a.example/","verification_uri_complete":"https://a.example/?c=A"}`, "https://a.example/?c=A", 10 * time.Minute, 5 * time.Second},
	} {
		f := oauth.New(oauth.Options{Client: answering(200, "application/json", c.body), Now: func() time.Time { return now }})
		d, err := f.Device(t.Context(), exampleServer(), oauth.Client{ID: "c"}, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if d.VerificationURI != "https://a.example/" || d.VerificationURIComplete != c.complete || d.Expires.Sub(now) != c.expires || d.Interval != c.interval {
			t.Errorf("%s: %q, %q, %v, %v", c.name, d.VerificationURI, d.VerificationURIComplete, d.Expires.Sub(now), d.Interval)
		}
	}
}

const longCode = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// exampleServer is a server at example.com, for answers that are made up.
func exampleServer() oauth.Server {
	return oauth.Server{
		Authorization: "https://server.example.com/authorize", Token: "https://server.example.com/token", Device: "https://server.example.com/device",
		Revocation: "https://server.example.com/revoke", Registration: "https://server.example.com/register", ClientAuth: oauth.AuthNone,
	}
}

// answering is a client whose every request gets one answer.
func answering(status int, kind, body string) *http.Client {
	return &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
		return response(req, status, kind, body), nil
	})}
}
