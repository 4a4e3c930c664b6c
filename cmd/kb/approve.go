package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/control"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/term"
)

type answerOptions struct {
	deny    bool
	session bool
	always  bool
	json    bool
}

func newApprove(a *app) *cobra.Command {
	var o answerOptions
	cmd := &cobra.Command{
		Use: "approve [ID]", Short: "let a request that waits go on",
		Long: `Let a request that waits go on. Without an ID it shows the one that waits and asks;
where several do, it lists them.`,
		Example: `  kb approve
  kb approve 3fa2c1 --session`,
		Args: maxArgs(1),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			return runAnswer(cmd.Context(), a, first(args), o)
		}),
	}
	cmd.Flags().BoolVar(&o.session, "session", false, "and all like it until its session ends: same policy line, login, method and host")
	cmd.Flags().BoolVar(&o.always, "always", false, "and all to that path from now on, by a policy line; asks on the terminal")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	cmd.MarkFlagsMutuallyExclusive("session", "always")
	return cmd
}

func newDeny(a *app) *cobra.Command {
	o := answerOptions{deny: true}
	cmd := &cobra.Command{
		Use: "deny [ID]", Short: "refuse a request that waits",
		Long: `Refuse a request that waits; its agent gets a 403 with the reason. Without an ID it
shows the one that waits and asks; where several do, it lists them.`,
		Args: maxArgs(1),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			return runAnswer(cmd.Context(), a, first(args), o)
		}),
	}
	cmd.Flags().BoolVar(&o.session, "session", false, "and all like it until its session ends: same policy line, login, method and host")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

func (o answerOptions) answer() control.Answer {
	switch {
	case o.deny && o.session:
		return control.DenySession
	case o.deny:
		return control.Deny
	case o.session:
		return control.Session
	}
	return control.Once
}

// verb is the command that gives the answer to a request.
func (o answerOptions) verb() string {
	if o.deny {
		return "deny"
	}
	return "approve"
}

// answerJSON is what kb approve and kb deny print.
type answerJSON struct {
	Answer  string          `json:"answer"` // once, session, always, deny, deny-session
	Request control.Request `json:"request"`
	Policy  string          `json:"policy,omitempty"` // id of the line that --always wrote
}

func runAnswer(ctx context.Context, a *app, id string, o answerOptions) error {
	sessions, err := a.sessions(ctx)
	if err != nil {
		return err
	}
	waiting := []control.Request{}
	for _, s := range sessions {
		waiting = append(waiting, s.Waiting...)
		if s.Problem != "" {
			fmt.Fprintf(a.err, "kb: session %s cannot be asked: %s\n", s.ID, plain.Clean(s.Problem))
		}
	}
	r, err := choose(a, waiting, id, o)
	if err != nil || r == nil {
		return err
	}
	out := answerJSON{Answer: string(o.answer()), Request: *r}
	switch {
	case o.always:
		// First of all: a line that cannot be written leaves the request waiting.
		if out.Policy, err = allowAlways(ctx, a, r, o); err != nil {
			return err
		}
		out.Answer = "always"
	case id == "":
		if err := confirmAnswer(ctx, a, r, o, "", questions[o.answer()]); err != nil {
			return err
		}
	}
	paths, err := broker.FindPaths(a.getenv)
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, paths.Control(), r.Session)
	if err == nil {
		err = client.Answer(ctx, r.ID, o.answer())
	}
	if err != nil {
		return err
	}
	if o.json {
		return a.json(out)
	}
	fmt.Fprintf(a.err, "%s: %s %s of session %s\n", answerWords[o.answer()], plain.Clean(r.Method), address(r), r.Session)
	return nil
}

var answerWords = map[control.Answer]string{
	control.Once: "approved", control.Session: "approved for this session",
	control.Deny: "denied", control.DenySession: "denied for this session",
}

// leastID is how much of an id names a request. Ids are random: who has a request
// withdrawn, and others made in its place, soon has one that begins as a shorter
// one does.
const leastID = 4

// choose is the request that is meant. Nil without an error: none waits.
func choose(a *app, waiting []control.Request, id string, o answerOptions) (*control.Request, error) {
	meant := []control.Request{}
	for _, r := range waiting {
		if r.ID == id || strings.HasPrefix(r.ID, id) && (id == "" || len(id) >= leastID) {
			meant = append(meant, r)
		}
	}
	switch {
	case len(meant) == 1:
		return &meant[0], nil
	case len(meant) == 0 && id != "":
		return nil, fmt.Errorf("%s request %q: %w", o.verb(), id, control.ErrNoRequest)
	case o.json:
		if err := a.json(meant); err != nil {
			return nil, err
		}
	case len(meant) > 0:
		if err := showWaiting(a, meant); err != nil {
			return nil, err
		}
	}
	if len(meant) > 0 {
		return nil, hint.Exit(hint.Human, fmt.Errorf("%s request: %d wait", o.verb(), len(meant)), "name one: kb "+o.verb()+" ID")
	}
	fmt.Fprintln(a.err, "nothing waits for an answer")
	return nil, nil
}

func showWaiting(a *app, waiting []control.Request) error {
	now := time.Now()
	t := newTable(a.out, "ID", "SESSION", "AGENT", "PROFILE", "LOGIN", "REQUEST", "BECAUSE", "UNTIL")
	for _, r := range waiting {
		t.row(r.ID, r.Session, r.Agent, r.Profile, loginOf(&r), r.Method+" "+address(&r), r.Rule, when(r.Deadline, now))
	}
	return t.flush()
}

// address is where a request goes: the whole host, and the path as the audit has
// it.
func address(r *control.Request) string {
	host := r.Host
	if r.Port != 443 {
		host = net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))
	}
	return plain.Clean(host + r.Path)
}

func loginOf(r *control.Request) string {
	if r.Login == "" {
		return r.Provider
	}
	return r.Provider + " as " + r.Login
}

// questions are what is asked before an answer to a request that was not named.
var questions = map[control.Answer]string{
	control.Once: "Let it go on?", control.Session: "Let it and all like it go on until the session ends?",
	control.Deny: "Refuse it?", control.DenySession: "Refuse it and all like it until the session ends?",
}

// allowAlways shows the policy line that a request asks for, and writes it when
// the person agrees. It returns the line's id.
func allowAlways(ctx context.Context, a *app, r *control.Request, o answerOptions) (string, error) {
	b, err := a.brokerOfAny(ctx)
	if err != nil {
		return "", err
	}
	line, err := b.AlwaysLine(*r)
	if err != nil {
		return "", adviseAlways(err, r)
	}
	words := fmt.Sprintf("profile %s: %s", b.Show(line.Profile), broker.PolicyWords(line))
	if err := confirmAnswer(ctx, a, r, o, words, "Write that line, and let it go on?"); err != nil {
		return "", err
	}
	if line, err = b.AllowAlways(ctx, *r); err != nil {
		return "", adviseAlways(err, r)
	}
	fmt.Fprintf(a.err, "policy %s: %s\n", line.ID, plain.Clean(words))
	return line.ID, nil
}

// confirmAnswer describes the request on the terminal, with the policy line that
// would be written, and asks whether it is meant. Nobody there is exit 4: what
// was not read is not answered.
func confirmAnswer(ctx context.Context, a *app, r *control.Request, o answerOptions, policy, question string) error {
	var text strings.Builder
	describeRequest(&text, r, policy)
	tty, err := term.OpenTTY()
	if err != nil {
		fmt.Fprint(a.err, text.String())
		fix := "run kb " + o.verb() + " " + r.ID
		if o.always {
			fix = "run it in a terminal"
		}
		return hint.Exit(hint.Human, fmt.Errorf("%s request %s: there is no terminal to ask on", o.verb(), r.ID), fix)
	}
	defer tty.Close()
	tty.Printf("%s", text.String())
	yes, err := tty.Confirm(ctx, question)
	if err != nil {
		return err
	}
	if !yes {
		return hint.Exit(hint.Cancelled, fmt.Errorf("%s request %s: left waiting", o.verb(), r.ID), "run kb approve "+r.ID+" or kb deny "+r.ID)
	}
	return nil
}

// describeRequest is a request as a person has to see it before saying yes.
func describeRequest(w io.Writer, r *control.Request, policy string) {
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(w, "  %-10s %s\n", name, oneBlank(plain.Clean(text)))
		}
	}
	fmt.Fprintf(w, "request %s waits\n", plain.Clean(r.ID))
	// First what no agent writes, and what decides: a text that fills the screen
	// comes after it.
	line("host", r.Host)
	if r.Port != 443 {
		line("port", strconv.Itoa(int(r.Port)))
	}
	line("method", r.Method)
	line("path", r.Path)
	line("agent", r.Agent+" in "+r.Dir+", session "+r.Session)
	line("as", "profile "+r.Profile+" at "+loginOf(r))
	line("repository", r.Repository)
	if r.Git != "" {
		line("git", r.Git)
	}
	if r.Mint {
		line("mints", "its answer is a new credential, which the agent gets")
	}
	if r.Websocket {
		line("opens", "a websocket: what goes over it is not read, and nobody is asked about it")
	}
	body := "size unknown"
	if r.Body >= 0 {
		body = plural(int(r.Body), "byte")
	}
	if r.Type != "" {
		body += ", " + r.Type
	}
	line("body", body)
	line("because", r.Rule)
	line("until", when(r.Deadline, time.Now())+", then it is refused")
	line("writes", policy)
}

// oneBlank has one space for each run of what is seen as blank: many would fill a
// row, and what stands behind them would look like a row of its own.
func oneBlank(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(c rune) bool {
		// Letters without a shape: Braille's blank, and Hangul's fillers.
		return unicode.IsSpace(c) || c == 0x2800 || c == 0x115f || c == 0x1160 || c == 0x3164 || c == 0xffa0
	}), " ")
}

// adviseAlways says what to do about a request that no one line can be about.
func adviseAlways(err error, r *control.Request) error {
	var known *hint.Error
	if errors.As(err, &known) {
		return err
	}
	return hint.Wrap(err, fmt.Sprintf("run kb approve %s --session, or write a line: kb policy add %s allow …", r.ID, hint.Word(r.Profile)))
}
