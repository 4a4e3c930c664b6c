package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"kb/internal/audit"
	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/supervisor"
)

// limit is when a demo gives up. It takes about a second; a minute is a machine
// that is very busy with something else.
const limit = time.Minute

// Options are what the command line hands over. None reaches the broker.
type Options struct {
	Out   io.Writer
	Width int  // columns of Out; 0 means 80
	Color bool // whether Out shows ECMA-48 colours
	// Path is where git is looked for, as in the variable PATH.
	Path string
	// Client is the command that calls Agent; the path to ask for is appended.
	Client []string
}

// Run plays the demo and prints what it showed. The temporary folder is gone
// when it returns, also after an error and when ctx is cancelled.
func Run(ctx context.Context, o Options) error {
	// main catches INT and TERM; a terminal that is closed must not leave the
	// folder behind either.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP, syscall.SIGQUIT)
	defer stop()
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p := newPage(o)
	p.opening()
	if err := p.flush(); err != nil {
		return err
	}
	began := time.Now()
	dir, err := os.MkdirTemp("", "kb-demo-")
	if err != nil {
		return hint.Wrap(fmt.Errorf("make the demo's folder: %w", err), "set TMPDIR to a folder that you can write to")
	}
	report, err := play(bounded, dir, o)
	if removeErr := os.RemoveAll(dir); err == nil && removeErr != nil {
		err = fmt.Errorf("remove the demo's folder: %w", removeErr)
	}
	switch {
	case ctx.Err() != nil:
		return hint.Exit(hint.Cancelled, errors.New("demo cancelled; its folder is removed"), "")
	case bounded.Err() != nil:
		return hint.Wrap(fmt.Errorf("run the demo: not done within %s", limit), "try again when the machine is less busy")
	case err != nil:
		return err
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the demo's folder: %q is still there", dir)
	}
	if wrong := report.wrong(); len(wrong) > 0 {
		return hint.Wrap(fmt.Errorf("check what the demo saw: %s", strings.Join(wrong, "; ")),
			"kb does not do what it promises here: please report these words and the output of kb version")
	}
	report.folder, report.took = dir, time.Since(began)
	p.results(report)
	return p.flush()
}

// report is all that a demo measured.
type report struct {
	sides    [2]sighting
	arrivals []arrival // at the forge, in order
	note     string    // what kb exec says of the isolation
	lines    []audit.Event
	verdict  audit.Report
	folder   string
	took     time.Duration
}

// sighting is what was seen of one repository's session.
type sighting struct {
	side
	directory   string // with ~ for the demo's home
	decided     string // profile
	reason      string
	remote      string // normal form of the remote
	variable    string // FORGE_TOKEN as the agent had it
	user        reply  // to GET /user
	private     reply  // to GET /repos/acme/api
	pushed      string // author of the forge's newest commit
	subject     string // and its message
	output      string // all that the session's children wrote
	environment []string
}

// reply is an answer that the agent's client got.
type reply struct {
	status int
	body   string
}

// commitMessage of the agent's commit: what the forge must have in the end.
const commitMessage = "Retry when the server is busy"

// play runs the agents.
func play(ctx context.Context, dir string, o Options) (*report, error) {
	h := &home{path: o.Path}
	defer h.Close()
	if err := h.build(ctx, dir); err != nil {
		return nil, err
	}
	// A cancelled demo takes the forge away, so that no child waits for it.
	defer context.AfterFunc(ctx, h.Close)()
	r := &report{}
	if err := h.runAgents(ctx, o.Client, r); err != nil {
		return nil, err
	}
	r.arrivals = h.forge.arrivals()
	var err error
	for i := range r.sides {
		s := &r.sides[i]
		if s.pushed, s.subject, err = h.forge.repositories[s.repository].head(); err != nil {
			return nil, fmt.Errorf("read what was pushed: %w", err)
		}
	}
	for e, err := range audit.Read(h.paths.Audit(), audit.Filter{}) {
		if err != nil {
			return nil, err
		}
		r.lines = append(r.lines, e)
	}
	r.verdict, err = h.broker.VerifyAudit()
	return r, err
}

// runAgents opens a session in each repository, both at once, and has the
// agents take turns.
func (h *home) runAgents(ctx context.Context, client []string, r *report) error {
	var sessions [2]*broker.Session
	for i, s := range h.sides {
		session, err := h.broker.StartSession(ctx, broker.SessionSpec{
			Dir: filepath.Join(h.dir, s.folder), Command: []string{"agent"}, Environ: h.environ(), Tier: "hardened",
		})
		if err != nil {
			return err
		}
		defer session.Close()
		sessions[i] = session
		d := session.Decision()
		seen := &r.sides[i]
		*seen = sighting{
			side: s, directory: h.tilde(d.Workspace.Dir), decided: d.Match.Profile, reason: h.tilde(d.Match.Reason),
			environment: session.Environment(),
		}
		for _, remote := range d.Workspace.Remotes {
			seen.remote = remote.Normal
		}
		for _, note := range session.Notes() {
			if strings.HasPrefix(note, "isolation ") {
				r.note = h.tilde(note)
			}
		}
	}
	for _, args := range [][]string{
		{"git", "pull", "--quiet", "origin", "main"},
		{"git", "commit", "--quiet", "--allow-empty", "--message", commitMessage},
		{"git", "push", "--quiet", "origin", "HEAD:main"},
	} {
		for i := range sessions {
			if _, err := h.child(ctx, sessions[i], &r.sides[i], args); err != nil {
				return err
			}
		}
	}
	for i := range sessions {
		s := &r.sides[i]
		for path, into := range map[string]*reply{userPath: &s.user, privatePath: &s.private} {
			out, err := h.child(ctx, sessions[i], s, append(client[:len(client):len(client)], path))
			if err != nil {
				return err
			}
			if s.variable, *into, err = readReply(out); err != nil {
				return err
			}
		}
	}
	return nil
}

// errChild says that one of the agent's commands failed.
var errChild = errors.New("run the demo's agent")

// child runs one command of the agent's in its session, as kb exec would, and
// returns what it wrote.
func (h *home) child(ctx context.Context, session *broker.Session, s *sighting, command []string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	in, err := os.Open(os.DevNull)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errChild, err)
	}
	defer in.Close()
	out, err := os.CreateTemp(h.dir, "out-")
	if err != nil {
		return "", fmt.Errorf("%w: %w", errChild, err)
	}
	defer out.Close()
	code, err := supervisor.Run(supervisor.Spec{
		Command: command, Env: session.Environment(), Dir: filepath.Join(h.dir, s.folder), Files: []*os.File{in, out, out},
	})
	if err != nil {
		return "", fmt.Errorf("%w: %w", errChild, err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		return "", fmt.Errorf("%w: %w", errChild, err)
	}
	s.output += string(text)
	if code != 0 {
		return "", fmt.Errorf("%w: %s %s in %s ended with code %d: %s", errChild,
			filepath.Base(command[0]), command[1], s.directory, code, strings.TrimSpace(string(text)))
	}
	return string(text), nil
}

// readReply takes the three parts of what Agent printed.
func readReply(out string) (token string, r reply, err error) {
	lines := strings.SplitN(out, "\n", 3)
	if len(lines) != 3 {
		return "", r, fmt.Errorf("%w: its client wrote %q", errChild, out)
	}
	if r.status, err = strconv.Atoi(lines[1]); err != nil {
		return "", r, fmt.Errorf("%w: its client wrote %q", errChild, out)
	}
	r.body = strings.TrimSpace(lines[2])
	return lines[0], r, nil
}
