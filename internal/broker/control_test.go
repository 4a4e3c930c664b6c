package broker

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kb/internal/audit"
	"kb/internal/control"
	"kb/internal/testkit"
)

// TestSessionTellsOfItself: what a person's kb sees of a session, from its start
// to its end, without a secret in it.
func TestSessionTellsOfItself(t *testing.T) {
	f := newFixture(t)
	s, err := f.broker.StartSession(t.Context(), SessionSpec{
		Dir: f.workDir, Also: []string{"oss"}, Command: []string{"/usr/bin/ag\x1bent"}, Environ: f.environ(), Tier: "auto",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	dir := f.options.Paths.Control()
	client, err := control.Dial(t.Context(), dir, s.ID)
	if err != nil {
		t.Fatal(err)
	}
	statuses := make(chan control.Status, 100)
	ended := make(chan error, 1)
	go func() {
		ended <- client.Watch(t.Context(), func(st control.Status) error {
			statuses <- st
			return nil
		})
	}()
	first := <-statuses
	if first.ID != s.ID || first.PID != os.Getpid() || first.Child != 0 || first.Profile != "work" || strings.Join(first.Also, " ") != "oss" ||
		first.Agent != "ag\ufffdent" || first.Dir != f.workDir || first.Remote != "github.com/acme/api" || first.Reason == "" ||
		first.Isolation != "hardened" || first.Proxy != s.address || first.Requests != 0 || len(first.Waiting) != 0 {
		t.Errorf("it tells %+v", first)
	}
	found := map[string]bool{}
	for _, h := range first.Hosts {
		found[h.Host+" "+h.Provider+" "+h.Profile] = true
	}
	if !found["api.github.com github work"] || !found["api.github.com github oss"] {
		t.Errorf("it tells of the hosts %v", first.Hosts)
	}

	until := func(what string, ok func(control.Status) bool) {
		t.Helper()
		limit := time.After(10 * time.Second)
		for {
			select {
			case st := <-statuses:
				if ok(st) {
					return
				}
			case <-limit:
				t.Fatalf("it does not tell of %s", what)
			}
		}
	}
	s.Runs(4321)
	until("its child", func(st control.Status) bool { return st.Child == 4321 })
	if got := f.get(s, "", http.MethodGet, "https://api.github.com/user", nil); got.status != http.StatusOK {
		t.Fatalf("%+v", got)
	}
	until("a request", func(st control.Status) bool { return st.Requests == 1 && st.Injected == 1 && st.Denied == 0 })
	if got := f.get(s, "", http.MethodPost, "https://api.github.com/app/installations/1/access_tokens", nil); got.status != http.StatusForbidden {
		t.Fatalf("%+v", got)
	}
	until("a refusal", func(st control.Status) bool { return st.Requests == 2 && st.Denied == 1 })

	text, err := json.Marshal(s.Status())
	if err != nil {
		t.Fatal(err)
	}
	oracle := testkit.NewOracle(f.workToken, f.ossToken, s.token.Reveal())
	oracle.Look("the status", text)
	for _, leak := range oracle.Findings() {
		t.Error(leak)
	}
	for _, entry := range s.Environment() {
		if strings.Contains(entry, dir) {
			t.Errorf("the child is told of the socket: %s", entry)
		}
	}

	if s.Stopped() {
		t.Error("it says it was stopped before it was")
	}
	for range 2 { // the second is too late, and no harm
		if err := client.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	<-s.Stopping()
	s.Close()
	if err := <-ended; !errors.Is(err, control.ErrGone) {
		t.Errorf("the watch ended with %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
	last := audit.Event{}
	for e, err := range audit.Read(f.options.Paths.Audit(), audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		last = e
	}
	if last.Phase != audit.PhaseStop || last.Detail != stoppedDetail {
		t.Errorf("the audit's last line is %+v", last)
	}
}

// TestSessionWithoutASocket: a folder that others may use is refused, one that
// cannot hold sockets is no reason to have no session.
func TestSessionWithoutASocket(t *testing.T) {
	f := newFixture(t)
	dir := f.options.Paths.Control()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o770); err != nil { //nolint:gosec // that is the case
		t.Fatal(err)
	}
	spec := SessionSpec{Dir: f.workDir, Command: []string{"agent"}, Environ: f.environ()}
	_, err := f.broker.StartSession(t.Context(), spec)
	var folder *control.FolderError
	if !errors.As(err, &folder) {
		t.Errorf("a folder open to others: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(f.options.Paths.Runtime, "s-*")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	// A file in its place is what stands for a file system without sockets:
	// neither is the folder's fault.
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := f.broker.StartSession(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if notes := strings.Join(s.Notes(), "\n"); !strings.Contains(notes, "cannot be seen, stopped or asked from outside") {
		t.Errorf("it does not say so: %s", notes)
	}
}

// TestClearSession: what a killed session left goes, what a running one has
// stays.
func TestClearSession(t *testing.T) {
	f := newFixture(t)
	s := f.start(f.workDir)
	dir := f.options.Paths.Control()
	entries, err := control.List(dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if err := f.options.Paths.ClearSession(entries[0]); err == nil {
		t.Error("a running session was cleared")
	}
	if _, err := os.Stat(s.files.bundle); err != nil {
		t.Error(err)
	}
	crashed := entries[0]
	crashed.Start-- // the process id is another's by now
	s.Close()
	if err := os.MkdirAll(s.files.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.options.Paths.ClearSession(crashed); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.files.dir); !os.IsNotExist(err) {
		t.Errorf("its folder is still there: %v", err)
	}
}

// TestPulse: nobody who asks before it looks misses a change.
func TestPulse(t *testing.T) {
	t.Parallel()
	var p pulse
	c := count{pulse: &p}
	done := make(chan uint64)
	const last = 5000
	go func() {
		for {
			changed := p.next()
			if n := c.Load(); n == last {
				done <- n
				return
			}
			<-changed
		}
	}()
	for range last {
		c.Add(1)
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("a change was missed")
	}
}
