package main

import (
	"fmt"

	"kb/internal/broker"
	"kb/internal/hint"
)

// gitJSON is the git repository of a vault in kb status --json.
type gitJSON struct {
	Vault      string `json:"vault"`
	Repository string `json:"repository"`
	Upstream   string `json:"upstream,omitempty"`
	Tracked    bool   `json:"tracked"`
	Modified   bool   `json:"modified"` // not committed
	Unmerged   bool   `json:"unmerged"`
	Ahead      *int   `json:"ahead,omitempty"` // commits that the remote has not; absent if it was never asked
	Behind     *int   `json:"behind,omitempty"`
	Operation  string `json:"operation,omitempty"` // merge, rebase, … in progress
	SetUp      bool   `json:"set_up"`              // git merges the vault with kb
}

// attentionOfGit is what a person should see to, with the command for it.
func attentionOfGit(s broker.GitState) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	switch {
	case s.Operation.Name != "":
		say("a %s is in progress in %s: %s, or %s", s.Operation.Name, s.Repository, inRepository(s.Words, s.Operation.Continue), inRepository(s.Words, s.Operation.Abort))
	case !s.Tracked:
		say("the vault is in %s and not committed there: run kb sync", s.Repository)
	case s.Modified && s.Upstream != "":
		say("the vault has changes that are not committed: run kb sync")
	case s.Ahead > 0 || s.Behind > 0:
		say("the vault's repository is %d ahead of %s and %d behind: run kb sync", s.Ahead, s.Upstream, s.Behind)
	}
	if s.Tracked && !s.SetUp {
		say("git does not merge the vault with kb in %s: run kb vault setup-git", s.Repository)
	}
	return out
}

// adviceLine is an error with its advice, in one line.
func adviceLine(err error) string {
	line := err.Error()
	if fix := hint.Fix(advise(err)); fix != "" {
		line += ": " + fix
	}
	return line
}
