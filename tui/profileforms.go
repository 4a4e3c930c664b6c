package tui

import (
	"context"
	"errors"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// form asks for a profile's fields; of one that is there the name stays.
func (s *profiles) form(p ProfileSpec) dialog {
	about, does := "New profile", "make it"
	fields := []formField{{name: "name", label: "name", need: true, help: "a short word: work, oss, personal"}}
	if p.Old != "" {
		about, does, fields = "Profile "+p.Name, "change it", nil
	}
	fields = append(fields,
		formField{name: "gitname", label: "git name", text: p.GitName, help: "user.name of the session's git; empty leaves git's own"},
		formField{name: "email", label: "git email", text: p.GitEmail, help: "user.email of the session's git"},
		formField{name: "key", label: "signing key", text: p.SigningKey, help: "user.signingkey of the session's git"},
		formField{name: "also", label: "also", kind: wordsField, text: strings.Join(p.Also, " "), help: "profiles that its sessions may use as well"},
		formField{name: "egress", label: "other hosts", kind: choiceField, text: p.Egress, choices: []Choice{
			{"open", "open: hosts without a login pass unread"}, {"listed", "listed: hosts without a login are refused"},
		}},
	)
	return newForm(form{shared: s.shared, about: about, does: does, fields: fields, try: func(ctx context.Context, v values) (string, error) {
		spec := ProfileSpec{
			Old: p.Old, Name: p.Name, GitName: v.text("gitname"), GitEmail: v.text("email"), SigningKey: v.text("key"),
			Also: v.words("also"), Egress: v.text("egress"),
		}
		if p.Old == "" {
			spec.Name = v.text("name")
		}
		return s.backend.PutProfile(ctx, spec)
	}})
}

// suggested is what the directory here says of a rule for it.
type suggested struct {
	question uint64
	profile  string
	at       Resolution
}

// suggest asks for the rule, with one that fits the directory here.
func (s *profiles) suggest(p Profile) tea.Cmd {
	s.question++
	question, ctx, backend, dir := s.question, s.ctx, s.backend, s.world.standing.value.Dir
	return func() tea.Msg {
		r, err := backend.TestPath(ctx, dir)
		if err != nil || dir == "" {
			r = Resolution{} // there is nothing to suggest
		}
		return suggested{question, p.Name, r}
	}
}

func (s *profiles) ruleForm(profile string, here Resolution) dialog {
	remote, help := "", "pattern on the git remote: github.com/acme/*, gitlab.acme.dev/**"
	if len(here.Remotes) > 0 {
		name := here.Remotes[0]
		for _, r := range here.Remotes {
			if strings.HasPrefix(r, "origin ") {
				name = r
			}
		}
		_, name, _ = strings.Cut(name, " ")
		help += "; here it is " + name
		if owner, _, ok := cutLast(name, "/"); ok && here.Profile == "" {
			remote = owner + "/*"
		}
	}
	dirHelp := "pattern on the directory: ~/work/**"
	if here.Dir != "" {
		dirHelp += "; here it is " + s.short(here.Dir)
	}
	return newForm(form{
		shared: s.shared, about: "New rule for " + profile, does: "add it", note: "All conditions that are given must hold.",
		fields: []formField{
			{name: "remote", label: "remote", text: remote, help: help},
			{name: "dir", label: "directory", help: dirHelp},
			{name: "user", label: "user", help: "login name of the user who runs kb"},
			{name: "machine", label: "machine", help: "host name of the machine"},
			{name: "agent", label: "agent", help: "name of the program that kb exec starts: claude"},
		},
		check: func(v values) error {
			for _, name := range []string{"remote", "dir", "user", "machine", "agent"} {
				if v.text(name) != "" {
					return nil
				}
			}
			return errors.New("a rule needs a condition")
		},
		try: func(ctx context.Context, v values) (string, error) {
			return s.backend.AddRule(ctx, Rule{
				Profile: profile, Remote: v.text("remote"), Dir: v.text("dir"), User: v.text("user"), Machine: v.text("machine"), Agent: v.text("agent"),
			})
		},
	})
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (s *profiles) policyForm(p Profile) dialog {
	limits := func(v values) bool { return v.text("effect") == "limit" }
	return newForm(form{
		shared: s.shared, about: "New policy line for " + p.Name, does: "add it",
		note: "All conditions that are given must hold. Of the lines that fit, the one with more conditions decides.",
		fields: []formField{
			{name: "effect", label: "effect", kind: choiceField, text: "ask", choices: []Choice{
				{"ask", "ask: a person is asked"}, {"deny", "deny: it is refused"}, {"allow", "allow: it passes"}, {"limit", "limit: so many a minute"},
			}},
			{name: "minute", label: "a minute", need: true, when: limits, help: "how many requests of a session pass in a minute", check: func(text string) error {
				if n, err := strconv.Atoi(text); err != nil || n < 1 {
					return errors.New("give a number of requests: 30")
				}
				return nil
			}},
			{name: "provider", label: "provider", help: "name of a provider: linear; empty is every one"},
			{name: "methods", label: "methods", kind: wordsField, help: "HTTP methods: POST DELETE; empty is every one"},
			{name: "host", label: "host", help: "api.github.com, *.acme.dev, either with :PORT"},
			{name: "path", label: "path", help: "pattern on the path: /repos/acme/**, * is within one segment"},
			{name: "repository", label: "repository", help: "pattern on the repository that the request names: github.com/acme/*"},
			{name: "git", label: "git", kind: choiceField, choices: []Choice{{"", "any request"}, {"read", "read: clone, fetch"}, {"write", "write: push"}}},
			{name: "mint", label: "credentials", kind: yesNoField, help: "only requests that make a new credential"},
		},
		try: func(ctx context.Context, v values) (string, error) {
			line := PolicySpec{
				Profile: p.Name, Effect: v.text("effect"), Provider: v.text("provider"), Methods: v.words("methods"), Host: v.text("host"),
				Path: v.text("path"), Repository: v.text("repository"), Git: v.text("git"), Mint: v.yes("mint"),
			}
			if limits(v) {
				line.PerMinute, _ = strconv.Atoi(v.text("minute")) // it was checked
			}
			return s.backend.AddPolicy(ctx, line)
		},
	})
}

// shown is a text that was asked for.
type shown struct {
	question uint64
	about    string
	text     []string
	err      error
}

// show asks for a text and shows it.
func (s *profiles) show(about string, get func(context.Context) ([]string, error)) tea.Cmd {
	s.question++
	question, ctx := s.question, s.ctx
	return func() tea.Msg {
		text, err := get(ctx)
		return shown{question, about, text, err}
	}
}

func (s *profiles) pathForm() dialog {
	return newForm(form{
		shared: s.shared, about: "Test a path", does: "test it",
		fields: []formField{{name: "dir", label: "directory", need: true, text: s.short(s.world.standing.value.Dir), help: "which profile an agent gets that is started there"}},
		act: func(v values) tea.Cmd {
			return s.show("Test a path", func(ctx context.Context) ([]string, error) {
				r, err := s.backend.TestPath(ctx, v.text("dir"))
				return s.resolution(r), err
			})
		},
	})
}

// resolution says which profile a directory gets, and why.
func (s *profiles) resolution(r Resolution) []string {
	text := []string{s.short(r.Dir)}
	if r.Profile == "" {
		text = append(text, "-> no profile: "+r.Reason)
	} else {
		text = append(text, "-> "+r.Profile+": "+r.Reason)
	}
	text = append(text, "")
	for _, remote := range r.Remotes {
		text = append(text, "remote  "+remote)
	}
	for i, m := range r.Matched {
		if i == 0 && r.Rule != "" {
			text = append(text, "decides "+m)
		} else {
			text = append(text, "matches "+m)
		}
	}
	return text
}

func (s *profiles) requestForm(p Profile) dialog {
	return newForm(form{
		shared: s.shared, about: "Test a request of " + p.Name, does: "test it", note: "Nothing is sent.",
		fields: []formField{
			{name: "method", label: "method", need: true, text: "POST"},
			{name: "url", label: "address", need: true, help: "a whole one: https://api.linear.app/graphql"},
		},
		act: func(v values) tea.Cmd {
			return s.show("Test a request of "+p.Name, func(ctx context.Context) ([]string, error) {
				text, err := s.backend.TestPolicy(ctx, p.Name, v.text("method"), v.text("url"))
				return strings.Split(text, "\n"), err
			})
		},
	})
}

func (s *profiles) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case suggested:
		if msg.question == s.question {
			return s.shared.show(s.ruleForm(msg.profile, msg.at))
		}
	case shown:
		switch {
		case msg.question != s.question:
		case msg.err != nil:
			return say(done{what: msg.about, err: msg.err, told: true})
		default:
			return s.shared.show(&reader{shared: s.shared, about: msg.about, text: msg.text})
		}
	}
	return nil
}
