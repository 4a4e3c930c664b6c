// Package endurance holds the built binary to what takes long: large bodies in
// bounded memory, and streams that last. Its tests take ten minutes and run
// with KB_E2E=1 only.
package endurance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// residentLimit is what kb may hold while large bodies pass: 64 MiB.
const residentLimit = 64 << 10 // KiB, as /proc counts

// session is a home with one profile, and the origins it talks to.
type session struct {
	*testing.T
	kb    string
	home  *testkit.Home
	world *testkit.World
	git   *testkit.Git
	api   *testkit.Origin
	token string
}

func newSession(t *testing.T) *session {
	t.Helper()
	if os.Getenv("KB_E2E") == "" {
		t.Skip("skipped: takes minutes; set KB_E2E=1")
	}
	w := testkit.Namespace(t)
	s := &session{T: t, kb: testkit.BuildKB(t), home: testkit.NewHome(t), world: w, git: testkit.NewGit(t), token: testkit.NewCanary("ghp_", 36)}
	s.git.Users = map[string]string{s.token: "me"}
	w.Serve("github.com", testkit.OriginConfig{Handler: s.git})
	s.api = w.Serve("api.openai.com", testkit.OriginConfig{Handler: testkit.Lab()})
	for _, c := range []struct {
		stdin string
		args  []string
	}{
		{"", []string{"init"}},
		{"", []string{"profile", "add", "work", "--git-email", "me@acme.example", "--git-name", "Me"}},
		{s.token, []string{"login", "github", "-p", "work", "--stdin", "--no-verify"}},
		{s.token, []string{"login", "openai", "-p", "work", "--stdin", "--no-verify"}},
	} {
		r := testkit.Exec(t, testkit.Command{Dir: s.home.Dir, Env: s.home.Env, Args: append([]string{s.kb}, c.args...), Stdin: strings.NewReader(c.stdin)})
		if r.Code != 0 {
			t.Fatal(r.All())
		}
	}
	return s
}

// exec runs a command in a session of kb and returns its output and the most
// memory that kb itself held, in KiB.
func (s *session) exec(dir string, args ...string) (output string, resident int) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 12*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.kb, append([]string{"exec", "-p", "work", "--"}, args...)...)
	cmd.Dir, cmd.Env = dir, s.home.Env
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			// The high-water mark outlives its moment, so that sampling misses
			// nothing but what grew in the last tick.
			if peak := highWater(cmd.Process.Pid); peak > resident {
				resident = peak
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	err := cmd.Wait()
	close(done)
	watching.Wait()
	if err != nil {
		s.Fatalf("kb exec %s: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), resident
}

// highWater is a process's VmHWM in KiB (proc(5)); 0 when it is gone.
func highWater(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(status))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

func (s *session) checkResident(what string, resident int) {
	s.Helper()
	s.Logf("%s: kb held at most %d MiB", what, resident>>10)
	if resident == 0 {
		s.Errorf("%s: kb's memory was not seen", what)
	}
	if resident > residentLimit {
		s.Errorf("%s: kb held %d KiB, the limit is %d", what, resident, residentLimit)
	}
}

func TestPushOf500MB(t *testing.T) {
	s := newSession(t)
	clone := filepath.Join(s.home.Dir, "big")
	s.exec(s.home.Dir, "git", "clone", "-q", "https://github.com/acme/big.git", clone)
	file, err := os.Create(filepath.Join(clone, "blob"))
	if err != nil {
		t.Fatal(err)
	}
	const size = 500_000_000
	if _, err := io.CopyN(file, rand.Reader, size); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	s.exec(clone, "sh", "-c", "git config core.compression 0 && git config core.bigFileThreshold 1m && git add blob && git commit -q -m big")
	s.git.Forget()
	_, resident := s.exec(clone, "git", "push", "-q")
	s.checkResident("a push of 500 MB", resident)
	wrote := false
	for _, a := range s.git.Accesses() {
		if a.Token != s.token {
			t.Errorf("%s arrived as %q", a.Path, a.Login)
		}
		wrote = wrote || a.Write
	}
	head, err := exec.CommandContext(t.Context(), "git", "-C", clone, "rev-parse", "HEAD").Output()
	if err != nil {
		t.Fatal(err)
	}
	if got := s.git.Rev("acme/big", "main"); !wrote || got != strings.TrimSpace(string(head)) {
		t.Errorf("the server has %s, the clone %s", got, head)
	}
}

func TestDownloadOfOneGiB(t *testing.T) {
	s := newSession(t)
	const size = 1 << 30
	out, resident := s.exec(s.home.Dir, "curl", "-sSf", "-o", "/dev/null", "-w", "%{size_download}\n", fmt.Sprintf("https://api.openai.com/bytes?n=%d", size))
	if !strings.Contains(out, fmt.Sprint(size)) {
		t.Errorf("curl says %q, want %d bytes", out, size)
	}
	s.checkResident("a download of 1 GiB", resident)
}

// TestLongStreams keeps a ten-minute event stream and an 80-second upload open
// at once.
func TestLongStreams(t *testing.T) {
	s := newSession(t)
	const events = 600
	upload := filepath.Join(s.home.Dir, "upload")
	if err := os.WriteFile(upload, bytes.Repeat([]byte("0123456789abcdef"), 8<<20/16), 0o600); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`
curl -sSf -w '%%{time_total} seconds up\n' --limit-rate 104857 -T %s https://api.openai.com/sink &
curl -sSfN 'https://api.openai.com/sse?n=%d&every=1s'
code=$?
wait $! || exit 1
exit $code`, upload, events)
	start := time.Now()
	out, _ := s.exec(s.home.Dir, "sh", "-c", script)
	t.Logf("the streams lasted %v", time.Since(start).Round(time.Second))
	if got := strings.Count(out, "data: "); got != events {
		t.Errorf("%d events arrived of %d", got, events)
	}
	var arrived int64
	for _, q := range s.api.Requests() {
		if q.Path == "/sink" {
			arrived = q.BodyBytes
		}
		if q.Credential() != s.token {
			t.Errorf("%s arrived with another credential", q.Path)
		}
	}
	if arrived != 8<<20 {
		t.Errorf("%d bytes of the upload arrived, want %d", arrived, 8<<20)
	}
	var seconds float64
	if i := strings.Index(out, " seconds up"); i > 0 {
		line := out[strings.LastIndexByte(out[:i], '\n')+1 : i]
		seconds, _ = strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexAny(line, "} ")+1:]), 64)
	}
	if seconds < 75 {
		t.Errorf("the upload took %.0f s, want some 80", seconds)
	}
}
