package vaultrepo

import (
	"os"
	"path/filepath"
)

// Operation is something that git has begun in a repository and not finished.
// While it lasts, the files of the work tree are git's.
type Operation struct {
	Name     string // "merge", "rebase", …; "" if there is none
	Continue string // the git command that goes on
	Abort    string // the git command that gives up
}

// operations are recognised by what git keeps while they last, as git status
// does (wt-status.c). A rebase can also have a CHERRY_PICK_HEAD, so it goes
// first.
var operations = []struct {
	file string
	op   Operation
}{
	{"rebase-merge", Operation{"rebase", "git rebase --continue", "git rebase --abort"}},
	{"rebase-apply", Operation{"rebase", "git rebase --continue", "git rebase --abort"}},
	{"MERGE_HEAD", Operation{"merge", "git commit", "git merge --abort"}},
	{"CHERRY_PICK_HEAD", Operation{"cherry-pick", "git cherry-pick --continue", "git cherry-pick --abort"}},
	{"REVERT_HEAD", Operation{"revert", "git revert --continue", "git revert --abort"}},
	{"BISECT_LOG", Operation{"bisect", "git bisect reset", "git bisect reset"}},
}

// Operation is what git is in the middle of.
func (r *Repo) Operation() Operation {
	for _, o := range operations {
		if _, err := os.Lstat(filepath.Join(r.GitDir, o.file)); err == nil {
			return o.op
		}
	}
	return Operation{}
}
