package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/creack/pty"

	"kb/internal/audit"
)

// auditLines is what the dashboard has to page through: some weeks of an
// agent's work.
const auditLines = 100_000

// dashboard measures kb on a terminal: how soon it is there, how soon it
// answers a key among auditLines, and what it costs when nobody looks.
func (r *run) dashboard(ctx context.Context) error {
	h, err := newHome(ctx, filepath.Join(r.dir, "desk"), false, r.logins, 200)
	if err != nil {
		return err
	}
	if err := h.clone(ctx, 0, 0); err != nil {
		return err
	}
	if err := writeAudit(h.paths.Audit()); err != nil {
		return err
	}
	var firsts, loaded []time.Duration
	for i := range r.starts + 1 {
		d, err := h.desk(ctx, r.kb)
		if err != nil {
			return err
		}
		first, err := d.until(`1 Home`, time.Minute)
		if err == nil && i > 0 { // the first fills caches
			var whole time.Duration
			whole, err = d.until(`vault open`, time.Minute)
			firsts, loaded = append(firsts, first), append(loaded, whole)
		}
		if err := errors.Join(err, d.quit()); err != nil {
			return err
		}
	}
	d, err := h.desk(ctx, r.kb)
	if err != nil {
		return err
	}
	keys, idle, resident, err := d.work(r.keys, r.idleTime)
	if err := errors.Join(err, d.quit()); err != nil {
		return err
	}
	size := fmt.Sprintf("%d logins, %d audit lines", r.logins, auditLines)
	r.table.target("dashboard: first frame, p50 ("+size+")", atMost(50, "ms"), ms(median(firsts)))
	r.table.target("dashboard: first frame with data, p50", noLimit("ms"), ms(median(loaded)))
	r.table.target("dashboard: key to repaint, audit screen, p50", atMost(16, "ms"), ms(median(keys)))
	r.table.target("dashboard: key to repaint, audit screen, p99", atMost(16, "ms"), ms(quantile(keys, 0.99)))
	r.table.target(fmt.Sprintf("dashboard: idle for %v", r.idleTime), atMost(1, "% CPU"), idle)
	r.table.target("dashboard: resident memory after it", atMost(60, "MiB"), float64(resident)/(1<<20))
	return nil
}

// writeAudit writes ten sessions whose lines are of the last hours.
func writeAudit(dir string) error {
	const sessions, apart = 10, 200 * time.Millisecond
	at := time.Now().Add(-auditLines * apart)
	for i := range sessions {
		name := fmt.Sprintf("%08x", i+1)
		l, err := audit.Create(dir, name, [32]byte{}, audit.Options{
			Start: audit.Event{Profile: "work", Detail: "claude in ~/src/api"},
			Index: &audit.MemoryIndex{}, Now: func() time.Time { return at }, Tick: make(chan time.Time),
		})
		if err != nil {
			return err
		}
		for n := range uint64(auditLines / sessions / 2) {
			e := audit.Event{
				Request: n + 1, Phase: audit.PhaseIntent, Profile: "work", Provider: "github", Login: "me-at-acme", Action: "inject",
				Method: "GET", Host: nearHost, Port: 443, Path: fmt.Sprintf("%s/%d", nearPath, n),
			}
			at = at.Add(apart)
			if err := l.Append(e); err != nil {
				return err
			}
			e.Phase, e.Status, e.Received, e.Millis = audit.PhaseOutcome, 200, 1024, 12.5
			at = at.Add(apart)
			if err := l.Append(e); err != nil {
				return err
			}
		}
		if err := l.Stop("exit 0"); err != nil {
			return err
		}
	}
	return nil
}

// desk is kb on a pseudo-terminal that answers what programs ask terminals.
type desk struct {
	process
	tty   *os.File
	began time.Time
	reads chan []byte // closed at the end
	text  bytes.Buffer
}

// desk starts the dashboard on a terminal of 120 columns and 40 lines.
func (h *home) desk(ctx context.Context, kb string) (*desk, error) {
	d := &desk{process: process{name: "dashboard", cmd: exec.CommandContext(ctx, kb)}, reads: make(chan []byte, 64)}
	d.cmd.Dir, d.cmd.Env = h.repo, append(h.environ(), "TERM=xterm-256color", "LANG=C.UTF-8")
	var err error
	d.began = time.Now()
	if d.tty, err = pty.StartWithSize(d.cmd, &pty.Winsize{Cols: 120, Rows: 40}); err != nil {
		return nil, fmt.Errorf("start dashboard: %w", err)
	}
	go func() {
		defer close(d.reads)
		b := make([]byte, 64<<10)
		for {
			n, err := d.tty.Read(b)
			if err != nil {
				return
			}
			d.answer(b[:n])
			d.reads <- bytes.Clone(b[:n])
		}
	}()
	return d, nil
}

// answer tells a program the background's colour and where the cursor is (OSC
// 11 and DSR 6, XTerm Control Sequences), as every terminal does at once.
func (d *desk) answer(b []byte) {
	if bytes.Contains(b, []byte("\x1b]11;?")) {
		_, _ = io.WriteString(d.tty, "\x1b]11;rgb:0000/0000/0000\x1b\\")
	}
	if bytes.Contains(b, []byte("\x1b[6n")) {
		_, _ = io.WriteString(d.tty, "\x1b[1;1R")
	}
}

// control is what moves and colours, and is no text (ECMA-48).
var control = regexp.MustCompile(`\x1b\[[0-9;?<=>]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b[@-Z\\-_]`)

// until reads until the terminal was shown what matches, and says how long
// after the start that was.
func (d *desk) until(pattern string, limit time.Duration) (time.Duration, error) {
	want, over := regexp.MustCompile(pattern), time.After(limit)
	for !want.Match(control.ReplaceAll(d.text.Bytes(), nil)) {
		select {
		case b, ok := <-d.reads:
			if !ok {
				return 0, fmt.Errorf("the dashboard ended before it showed %q", pattern)
			}
			d.text.Write(b)
		case <-over:
			return 0, fmt.Errorf("the dashboard does not show %q", pattern)
		}
	}
	return time.Since(d.began), nil
}

// calm is how long nothing comes from a screen that is drawn.
const calm = 60 * time.Millisecond

// quiet reads until nothing comes for a while, for a second at most: a clock on
// the screen goes on.
func (d *desk) quiet() {
	for end := time.After(time.Second); ; {
		select {
		case _, ok := <-d.reads:
			if !ok {
				return
			}
		case <-time.After(calm):
			return
		case <-end:
			return
		}
	}
}

// work goes up and down the audit screen by n keys, then leaves the dashboard
// alone, and returns how long each key took, what of a processor it used
// meanwhile, in percent, and its memory.
func (d *desk) work(n int, leave time.Duration) (keys []time.Duration, idle float64, resident int64, err error) {
	if _, err = d.until(`vault open`, time.Minute); err != nil {
		return nil, 0, 0, err
	}
	d.quiet()
	d.text.Reset()
	if _, err = io.WriteString(d.tty, "5"); err != nil {
		return nil, 0, 0, err
	}
	if _, err = d.until(regexp.QuoteMeta(nearPath), time.Minute); err != nil {
		return nil, 0, 0, err
	}
	d.quiet()
	for i := range n {
		key := "k" // up from the newest, by pages of lines, and half the way down again
		if i%3 == 2 {
			key = "j"
		}
		pressed := time.Now()
		if _, err = io.WriteString(d.tty, key); err != nil {
			return nil, 0, 0, err
		}
		select {
		case _, ok := <-d.reads:
			if !ok {
				return nil, 0, 0, errors.New("the dashboard ended at a key")
			}
			keys = append(keys, time.Since(pressed))
		case <-time.After(5 * time.Second):
			return nil, 0, 0, fmt.Errorf("key %d of %d repainted nothing", i+1, n)
		}
		d.quiet()
	}
	before, err := d.cpu()
	if err != nil {
		return nil, 0, 0, err
	}
	for over := time.After(leave); over != nil; {
		select {
		case _, ok := <-d.reads:
			if !ok {
				return nil, 0, 0, errors.New("the dashboard ended when it was left alone")
			}
		case <-over:
			over = nil
		}
	}
	after, err := d.cpu()
	if err != nil {
		return nil, 0, 0, err
	}
	resident, err = d.rss()
	return keys, 100 * float64(after-before) / float64(leave), resident, err
}

// quit ends the dashboard with ctrl+c, and waits.
func (d *desk) quit() error {
	_, _ = io.WriteString(d.tty, "\x03")
	stuck := time.AfterFunc(10*time.Second, func() { _ = d.cmd.Process.Kill() })
	defer stuck.Stop()
	for range d.reads {
	}
	err := d.cmd.Wait()
	_ = d.tty.Close()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() { // ctrl+c has a code of its own
		return nil
	}
	return err
}
