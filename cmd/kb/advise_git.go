package main

import (
	"errors"
	"strings"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/vaultrepo"
)

// adviseGit knows what can be wrong with the vault's repository. ok says that
// it knew.
func adviseGit(err error) (advised error, ok bool) {
	var (
		unmerged *broker.UnmergedError
		busy     *broker.OperationError
		conflict *vaultrepo.ConflictError
		dirty    *vaultrepo.DirtyError
		filter   *vaultrepo.FilterError
		transfer *vaultrepo.TransferError
		remote   *broker.RemoteVaultError
		revision *vaultrepo.RevisionError
		noVault  *broker.NoVaultInError
		past     *broker.ReadRevisionError
		early    *broker.SyncError
	)
	in, pull := "git ", "git pull --no-rebase"
	if errors.As(err, &early) {
		in = inRepository(early.Words, "git ")
		// In full: a branch that kb pushed need not be set up for git pull.
		pull = in + "pull --no-rebase " + quoteForShell(early.Remote) + " " + quoteForShell(early.Branch)
	}
	human := func(fix string) (error, bool) { return hint.Exit(hint.Human, err, fix), true }
	failure := func(fix string) (error, bool) { return hint.Exit(hint.Failure, err, fix), true }
	switch {
	case errors.As(err, &unmerged):
		return human("take one side: " + inRepository(unmerged.Words, "git checkout --ours -- ") + quoteForShell(unmerged.Path) + " (or --theirs), then kb status")
	case errors.As(err, &busy):
		return human("finish it: " + inRepository(busy.Words, busy.Operation.Continue) + ", or give it up: " + inRepository(busy.Words, busy.Operation.Abort))
	case errors.As(err, &conflict):
		return human("settle them with git: " + pull + ", then kb sync; the vault itself is merged")
	case errors.As(err, &dirty):
		return human("commit or stash those files, then kb sync: " + in + "stash")
	case errors.As(err, &filter):
		return human("have git fetch them: " + pull + ", then kb sync")
	case errors.Is(err, vaultrepo.ErrUnrelated):
		return human("if both are yours, join them once: " + pull + " --allow-unrelated-histories, then kb sync")
	case errors.As(err, &transfer):
		return human(mendTransfer(transfer, in))
	case errors.As(err, &remote):
		fix := hint.Fix(advise(remote.Err))
		if fix == "" {
			fix = "put a version there that a device of yours saved"
		}
		return human(fix + "; nothing at the remote was changed")
	case errors.Is(err, broker.ErrBusyRemote):
		return failure("run kb sync again in a moment")
	case errors.Is(err, vaultrepo.ErrDetached):
		return human("check a branch out first: " + in + "switch main")
	case errors.Is(err, vaultrepo.ErrNoRemote):
		return human("add one: " + in + "remote add origin URL")
	case errors.Is(err, vaultrepo.ErrNoUpstream):
		return human("name it: " + in + "push -u REMOTE BRANCH")
	case errors.Is(err, vaultrepo.ErrNone):
		return human("put the vault into a git repository (git init, or kb init --vault PATH), or name a bare one: kb config set git_dir DIR")
	case errors.Is(err, vaultrepo.ErrOutside), errors.Is(err, vaultrepo.ErrNotRepository):
		return failure("name the right one: kb config set git_dir DIR; an empty DIR looks for it")
	case errors.Is(err, vaultrepo.ErrForeign):
		return failure("own it yourself: sudo chown -R \"$USER\" DIR; its configuration would run as you")
	case errors.Is(err, vaultrepo.ErrNoGit):
		return failure("install git (apt install git, dnf install git, brew install git)")
	case errors.Is(err, vaultrepo.ErrOldGit):
		return failure("install git 2.38 or newer, or join with git: " + pull + ", then kb sync")
	case errors.Is(err, vaultrepo.ErrNobody):
		return human("run git config --global user.name NAME and git config --global user.email ADDRESS")
	case errors.Is(err, vaultrepo.ErrOverridden):
		return failure("see which, and take its line out: git check-attr -a -- VAULT; then kb vault setup-git")
	case errors.As(err, &revision):
		return failure("run kb vault history")
	case errors.As(err, &noVault):
		return failure("choose one that kb vault history lists")
	case errors.As(err, &past):
		return failure("choose another one: kb vault history says which can be read")
	case errors.Is(err, broker.ErrNotInRevision):
		return failure("run kb vault restore REV to list what it has")
	case errors.Is(err, broker.ErrNotRestored):
		return failure("run kb device join there, and kb device approve here")
	case errors.Is(err, broker.ErrRecordName):
		return hint.Exit(hint.Usage, err, "run kb vault restore REV to list what it has"), true
	}
	return err, false
}

func mendTransfer(e *vaultrepo.TransferError, in string) string {
	fix := "check the network and the URL: " + in + "remote -v"
	if e.Access {
		fix = "see that git itself gets there: " + in + "fetch"
	}
	if len(e.Unused) > 0 {
		fix += "; kb leaves " + strings.Join(e.Unused, ", ") + " of the repository's own configuration unused: move it to ~/.gitconfig (git config --global)"
	}
	return fix
}

// inRepository has a git command find the vault's repository from anywhere.
func inRepository(words []string, command string) string {
	rest, ok := strings.CutPrefix(command, "git ")
	if !ok {
		return command
	}
	out := "git "
	for _, w := range words {
		out += quoteForShell(w) + " "
	}
	return out + rest
}

// quoteForShell makes one word of a path, to be pasted.
func quoteForShell(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("/._-+@:,=", c)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
