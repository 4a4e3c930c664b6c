package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"kb/internal/audit"
	"kb/internal/plain"
)

// opening stands there before anything has happened.
func (p *page) opening() {
	p.text("kb demo: one git host, two repositories, two of your identities.", bold, 0, 0)
	p.text("An agent works in each. The host, its tokens and the vault are made for this run, on this machine alone; "+
		"sessions, proxy and audit are those of kb exec. Each value below was measured.", plainText, 0, 0)
}

// results shows what a demo measured.
func (p *page) results(r *report) {
	work, oss := &r.sides[0], &r.sides[1]
	both := func(label string, s style, value func(*sighting) string) {
		p.row(label, plain.Clean(value(work)), plain.Clean(value(oss)), s)
	}
	p.heading("Who am I here?")
	both("directory", bold, func(s *sighting) string { return s.directory })
	both("remote", plainText, func(s *sighting) string { return s.remote })
	both("kb which", green, func(s *sighting) string { return s.decided })
	both("because", plainText, func(s *sighting) string { return s.reason })

	p.heading("What the agent saw: a placeholder, and answers to its own name")
	both("$"+variable, cyan, func(s *sighting) string { return s.variable })
	both("GET "+userPath, plainText, func(s *sighting) string {
		return fmt.Sprintf("%d, you are %s", s.user.status, s.user.field("login"))
	})

	p.heading("What the git host saw: the real token, put on by kb on the way out")
	both("GET "+userPath, plainText, func(s *sighting) string {
		return describe(r.of(s.account, apiHost, userPath)[0])
	})
	both("git push", plainText, func(s *sighting) string { return describe(r.push(s)) })
	both("pushed by", green, func(s *sighting) string { return r.push(s).login })
	both("commit author", green, func(s *sighting) string { return s.pushed })

	p.refusal(work, oss)
	p.audit(r)

	if r.note != "" {
		p.heading("What this does not stop, as kb exec says at each start")
		p.text(plain.Clean(r.note), plainText, 2, 0)
	}
	p.heading("For real")
	for _, line := range nextSteps {
		p.text(line, cyan, 2, 2)
	}
	p.blank()
	p.text(fmt.Sprintf("Done in %.1f s. Nothing is left: %s is gone.", r.took.Seconds(), r.folder), dim, 0, 0)
}

// nextSteps are the commands that make a first session of one's own.
var nextSteps = []string{
	"kb init",
	"kb profile add work --git-email you@acme.example",
	"kb rule add work --remote 'github.com/acme/*'",
	"kb login github -p work",
	"kb exec -- claude",
}

func describe(a arrival) string { return a.scheme + " " + a.token }

func (p *page) refusal(work, oss *sighting) {
	p.heading(fmt.Sprintf("Now a text in %s talks the agent into reading %s", oss.directory, workRepository))
	p.row("request", "GET "+privatePath, "GET "+privatePath, plainText)
	p.row("answer", fmt.Sprintf("%d, its own repository", work.private.status), fmt.Sprintf("%d by kb, unseen by the host:", oss.private.status), bold)
	var body bytes.Buffer
	if json.Indent(&body, []byte(oss.private.body), "", "  ") != nil {
		body.Reset()
		body.WriteString(oss.private.body)
	}
	for line := range bytes.Lines(body.Bytes()) {
		p.text(plain.Clean(string(bytes.TrimRight(line, "\n"))), red, 2, 4)
	}
}

// audit shows the lines of the API requests, the pushes and the refusal, as kb
// audit prints them.
func (p *page) audit(r *report) {
	var chosen []audit.Event
	for _, e := range r.lines {
		if e.Phase == audit.PhaseRefused || e.Phase == audit.PhaseOutcome && (e.Host == apiHost || strings.HasSuffix(e.Path, receivePack)) {
			chosen = append(chosen, e)
		}
	}
	p.heading(fmt.Sprintf("kb audit (%d of its %d lines)", len(chosen), len(r.lines)))
	for i := range chosen {
		s := plainText
		if chosen[i].Phase == audit.PhaseRefused {
			s = red
		}
		p.text(audit.Line(&chosen[i], time.Local), s, 2, 4)
	}
	p.text(fmt.Sprintf("kb audit verify: %d lines in %d files, none changed, removed or added", r.verdict.Lines, len(r.verdict.Files)), green, 2, 2)
}
