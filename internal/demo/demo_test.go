package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kb/internal/hint"
)

// The test binary is the demo's client, as kb is when it is installed.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "demo" && os.Args[2] == "agent" {
		if err := Agent(context.Background(), os.Environ(), os.Args[3], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(hint.Code(err))
		}
		os.Exit(0)
	}
	code := m.Run()
	if buildDir != "" {
		_ = os.RemoveAll(buildDir)
	}
	os.Exit(code)
}

// emptyPlaces gives the test a home and a temporary folder of its own, and
// fails it when something is left in either.
func emptyPlaces(t *testing.T) (homeDir, temp string) {
	t.Helper()
	homeDir, temp = t.TempDir(), t.TempDir()
	t.Setenv("HOME", homeDir)
	t.Setenv("TMPDIR", temp)
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"} {
		t.Setenv(name, "")
	}
	t.Cleanup(func() {
		for _, dir := range []string{homeDir, temp} {
			if left := tree(t, dir); len(left) > 0 {
				t.Errorf("left behind in %s: %q", dir, left)
			}
		}
	})
	return homeDir, temp
}

func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func options(t *testing.T, out io.Writer) Options {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("skipped: there is no git program here")
	}
	return Options{Out: out, Path: os.Getenv("PATH"), Client: []string{os.Args[0], "demo", "agent"}}
}

func TestDemoShowsTheWholeIdea(t *testing.T) {
	defer goleak.VerifyNone(t)
	emptyPlaces(t)
	var out bytes.Buffer
	if err := Run(t.Context(), options(t, &out)); err != nil {
		t.Fatalf("%v (%s)", err, hint.Fix(err))
	}
	for _, want := range []string{
		"~/src/api", "~/oss/parser", "git.forge.example/acme/api", "git.forge.example/you/parser",
		"matches rule", "forge_placeholder_", "200, you are you-work", "200, you are you-oss",
		"Bearer forge_work_", "Bearer forge_oss_", "Basic forge_work_", "Basic forge_oss_",
		"You at Acme <you@acme.example>", "You <you@home.example>",
		`"error": "profile-not-granted"`, "run kb exec --also work", "deny", "inject",
		"none changed, removed or added", "kb init", "kb exec -- claude",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output has no %q", want)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("the output has colours, and none were asked for")
	}
	for line := range strings.Lines(out.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > usual {
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

// TestNoTokenReachesAChild looks at what the demo's own checks look at, by
// itself: environment and output of every child, files of the home directory.
func TestNoTokenReachesAChild(t *testing.T) {
	_, temp := emptyPlaces(t)
	dir, err := os.MkdirTemp(temp, "kb-demo-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	r, err := play(t.Context(), dir, options(t, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	var files []byte
	for _, path := range tree(t, dir) {
		if data, err := os.ReadFile(path); err == nil {
			files = append(files, data...)
		}
	}
	for _, s := range r.sides {
		for _, token := range []string{r.sides[0].account.token, r.sides[1].account.token} {
			if strings.Contains(strings.Join(s.environment, "\n"), token) || strings.Contains(s.output, token) || bytes.Contains(files, []byte(token)) {
				t.Errorf("a token reached the agent in %s", s.directory)
			}
		}
		// Positive controls: the same search finds what should be there.
		if !slices.ContainsFunc(r.arrivals, func(a arrival) bool { return a.token == s.account.token && a.login == s.account.login }) {
			t.Errorf("the token of %s arrived nowhere", s.account.login)
		}
		if !strings.Contains(s.output, s.variable) || !bytes.Contains(files, []byte(s.variable)) {
			t.Errorf("the placeholder of %s was not found where its agent printed it", s.directory)
		}
	}
	if work, oss := r.sides[0].reason, r.sides[1].reason; !strings.HasPrefix(work, "remote ") || !strings.HasPrefix(oss, "directory ") {
		t.Errorf("reasons are %q and %q, want one remote and one directory", work, oss)
	}
}

func TestCancelledDemoLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t)
	_, temp := emptyPlaces(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		deadline := time.Now().Add(limit)
		for time.Now().Before(deadline) { // until the first repository stands
			if exists(filepath.Join(temp, "kb-demo-*", "src")) {
				return
			}
			time.Sleep(time.Millisecond) // polls: there is no event to wait for
		}
	}()
	err := Run(ctx, options(t, io.Discard))
	if hint.Code(err) != hint.Cancelled {
		t.Errorf("Run = %v, want a cancellation", err)
	}
}

func TestWithoutGitTheFixIsNamed(t *testing.T) {
	emptyPlaces(t)
	err := Run(t.Context(), Options{Out: io.Discard, Path: t.TempDir(), Client: []string{os.Args[0], "demo", "agent"}})
	if hint.Code(err) != hint.Failure || !strings.Contains(hint.Fix(err), "install git") {
		t.Errorf("Run = %v (%s), want one that says to install git", err, hint.Fix(err))
	}
}

func TestAChildThatFailsEndsTheDemo(t *testing.T) {
	emptyPlaces(t)
	o := options(t, io.Discard)
	o.Client = []string{"sh", "-c", "echo out of order; exit 7"}
	if err := Run(t.Context(), o); !errors.Is(err, errChild) || !strings.Contains(err.Error(), "code 7: out of order") {
		t.Errorf("Run = %v, want the child's code and words", err)
	}
	// A client that went past kb would have no placeholder to print.
	o.Client = []string{"sh", "-c", `printf 'stolen\n200\n{}\n'`}
	if err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "did not print the FORGE_TOKEN") {
		t.Errorf("Run = %v, want what differs", err)
	}
}

func TestClientIsOfNoOtherUse(t *testing.T) {
	inside := []string{"KB_SESSION=00000000", "HTTPS_PROXY=http://kb:token@127.0.0.1:9", "SSL_CERT_FILE=/nonexistent"}
	for name, c := range map[string]struct {
		environ []string
		path    string
		want    string
	}{
		"another path":     {inside, "/admin", "only for"},
		"an authority":     {inside, "//evil.example/user", "only for"},
		"no session":       {nil, userPath, "not inside a session"},
		"no proxy":         {inside[:1], userPath, "not inside a session"},
		"no bundle":        {inside, userPath, "read SSL_CERT_FILE"},
		"a proxy gone bad": {[]string{"KB_SESSION=0", "HTTPS_PROXY=http://kb:secret@[::1"}, userPath, "not a URL"},
	} {
		var out bytes.Buffer
		err := Agent(t.Context(), c.environ, c.path, &out)
		if err == nil || !strings.Contains(err.Error(), c.want) || out.Len() > 0 {
			t.Errorf("%s: Agent = %v, printed %q, want an error with %q", name, err, out.String(), c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error has the proxy's password: %v", name, err)
		}
	}
}
