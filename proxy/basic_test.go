package proxy

import (
	"io"
	"strings"
	"testing"
)

func TestInjectsOnInterceptedHostsOnly(t *testing.T) {
	w := newWorld(t)
	g, e := &seen{}, &seen{}
	w.https(good, g)
	w.https(evil, e)
	c := w.client()
	for range 3 {
		resp, err := c.Get("https://good.example/v1/user?x=1")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := readAll(t, resp), "GET /v1/user?x=1 auth=Bearer "+canary+" body=0"; got != want {
			t.Errorf("good got %q, want %q", got, want)
		}
	}
	for name, body := range map[string]io.Reader{"length": strings.NewReader(strings.Repeat("x", 100_000)), "chunked": struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 100_000))}} {
		resp, err := c.Post("https://good.example/p", "text/plain", body)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := readAll(t, resp), "POST /p auth=Bearer "+canary+" body=100000"; got != want {
			t.Errorf("%s: good got %q, want %q", name, got, want)
		}
	}
	resp, err := c.Get("https://evil.example/")
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if e.holds(canary) {
		t.Error("the canary reached evil")
	}
	if !g.holds(canary) {
		t.Error("positive control: the oracle does not see the canary at good")
	}
	if n := w.dials.Load(); n > 3 {
		t.Errorf("%d upstream connections for 6 requests, want them reused", n)
	}
	eventually(t, "every outcome", func() bool { return w.policy.asked.Load() == w.policy.done.Load() })
}
