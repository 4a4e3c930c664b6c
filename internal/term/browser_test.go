package term_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/term"
)

func getenv(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func TestWhereABrowserMakesSense(t *testing.T) {
	for _, c := range []struct {
		name, system string
		environ      map[string]string
		want         bool
	}{
		{"a console", "linux", nil, false},
		{"X", "linux", map[string]string{"DISPLAY": ":0"}, true},
		{"Wayland", "linux", map[string]string{"WAYLAND_DISPLAY": "wayland-0"}, true},
		{"WSL", "linux", map[string]string{"WSL_DISTRO_NAME": "Debian"}, true},
		{"macOS", "darwin", nil, true},
		{"BROWSER", "linux", map[string]string{"BROWSER": "firefox"}, true},
		{"SSH with X forwarded", "linux", map[string]string{"SSH_CONNECTION": "a b c d", "DISPLAY": "localhost:10.0"}, false},
		{"SSH to a Mac", "darwin", map[string]string{"SSH_TTY": "/dev/ttys001"}, false},
		{"SSH with BROWSER", "linux", map[string]string{"SSH_TTY": "/dev/pts/1", "BROWSER": "firefox"}, false},
	} {
		ok, reason := term.Desktop{Getenv: getenv(c.environ), System: c.system}.Browser()
		if ok != c.want || reason == "" {
			t.Errorf("%s: %v, %q; want %v", c.name, ok, reason, c.want)
		}
	}
}

// TestBrowserIsGivenOneArgument: an address is one argument whatever it holds,
// and nothing that a program could take for a flag or a file is opened.
func TestBrowserIsGivenOneArgument(t *testing.T) {
	dir := t.TempDir()
	program, out := filepath.Join(dir, "show"), filepath.Join(dir, "out")
	script := "#!/bin/sh\nfor a in \"$@\"; do echo \"$a\"; done > " + out + "\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	d := term.Desktop{Getenv: getenv(map[string]string{"BROWSER": program + " --new-window"})}
	const address = "https://auth.example/authorize?a=1&b=$(id);c='d e'"
	if err := d.Open(context.Background(), address); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != "--new-window\n"+address+"\n" {
		t.Errorf("the browser got %q", got)
	}
	for _, bad := range []string{"--profile=/tmp/x", "file:///etc/passwd", "http://auth.example/", "javascript:alert(1)", ""} {
		if err := d.Open(context.Background(), bad); err == nil || !strings.Contains(err.Error(), "https") {
			t.Errorf("Open(%q): %v", bad, err)
		}
	}
}
