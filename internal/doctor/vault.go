package doctor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/vaultfile"
)

// checkVault: every vault opens, by the device's key and the signatures that it
// trusts, nothing in it is in conflict, and no program that syncs folders has made
// copies of it.
func checkVault(ctx context.Context, o *Options) Result {
	b, err := o.Open(ctx)
	if err != nil {
		return bad(Failed, err, "Without the vault there are no rules and no logins: kb exec refuses.")
	}
	var closed []string
	for _, v := range b.Vaults() {
		if v.Err != nil {
			closed = append(closed, fmt.Sprintf("vault %s does not open: %v", v.Name, v.Err))
		}
	}
	if len(closed) > 0 {
		line, rest := listed(closed)
		fix := ""
		for _, v := range b.Vaults() {
			if v.Err != nil && fix == "" {
				fix = hint.Fix(v.Err)
			}
		}
		if fix == "" {
			fix = "run kb vault ls, which names them; mend the file, or run kb vault forget NAME"
		}
		return Result{Failed, line, "Its rules have a say in which profile a directory gets, so kb exec refuses without them. " + rest, fix}
	}
	if lines := b.Conflicts(); len(lines) > 0 {
		line, rest := listed(lines)
		line, fix := parted(line, "; settle it with ")
		return Result{Warning, line, "Two devices changed the same thing, and kb keeps to what both say until a person settles it. " + rest, fix}
	}
	var copies []string
	for _, v := range b.Vaults() {
		copies = append(copies, copiesOf(v.Path)...)
	}
	if len(copies) > 0 {
		return Result{
			Warning, "copies of the vault that a sync program made: " + strings.Join(copies, ", "),
			"Two devices saved at once and one of the files was put aside: what it alone has is not in the vault. kb merges vaults by git, which keeps both.",
			"run kb vault merge BASE OURS THEIRS with them, then delete them",
		}
	}
	c := b.All()
	n := len(b.Vaults())
	which := b.VaultPath()
	if n > 1 {
		which = fmt.Sprintf("%d vaults", n)
	}
	return good("%s opens and is signed by devices that this one trusts: %s, %s", which, plural(len(c.Profiles), "profile"), plural(len(c.Logins), "login"))
}

// copiesOf are files beside a vault that a sync program names so: Dropbox and
// Nextcloud "(conflicted copy …)", Syncthing ".sync-conflict-", iCloud "vault 2".
func copiesOf(path string) []string {
	ext := filepath.Ext(path)
	stem := strings.TrimSuffix(path, ext)
	var found []string
	for _, pattern := range []string{" (*onflict*)", ".sync-conflict-*", " [2-9]"} {
		// A path with a wildcard of its own finds nothing, at worst.
		names, _ := filepath.Glob(stem + pattern + ext)
		found = append(found, names...)
	}
	return found
}

// checkDevices: the vault is not lost with one machine, and no device that was
// removed knows a secret that is still in use.
func checkDevices(ctx context.Context, o *Options) Result {
	return opened(ctx, o, func(b *broker.Broker) Result {
		if lines := b.DeviceAttention(); len(lines) > 0 {
			line, rest := listed(lines)
			line, fix := parted(line, ": run ")
			return Result{Warning, line, "A vault that one machine alone can open is lost with it; a secret that a removed device has read is not unread by its removal. " + rest, fix}
		}
		devices, paper := 0, 0
		for _, d := range b.Contents().Devices {
			switch d.Kind {
			case vaultfile.KindDevice:
				devices++
			case vaultfile.KindRecovery:
				paper++
			}
		}
		return good("%s, %s for recovery", plural(devices, "device"), plural(paper, "key"))
	})
}

// checkGit: the vault's repository has it, merges it with kb, and is level with
// its remote as of the last fetch. Nothing is fetched here.
func checkGit(ctx context.Context, o *Options) Result {
	return opened(ctx, o, func(b *broker.Broker) Result {
		states, err := b.GitStates(ctx)
		if err != nil {
			return bad(Failed, err, "The vault works, but its changes do not reach other devices.")
		}
		if len(states) == 0 {
			return skipped("the vault is in no git repository")
		}
		var lines []string
		for _, s := range states {
			if o.GitAttention != nil {
				lines = append(lines, o.GitAttention(s)...)
			}
		}
		if len(lines) > 0 {
			line, rest := listed(lines)
			line, fix := parted(line, ": run ")
			return Result{Warning, line, "The vault works here; other devices do not have its changes, or a merge by hand would be needed. " + rest, fix}
		}
		s := states[0]
		switch {
		case s.Upstream == "":
			return good("committed in %s, which has no remote branch", s.Repository)
		case !s.Known:
			return good("committed in %s; %s was never fetched", s.Repository, s.Upstream)
		}
		return good("committed in %s, level with %s as of the last fetch", s.Repository, s.Upstream)
	})
}

// checkLogins: each can be used, and none ends without a person.
func checkLogins(ctx context.Context, o *Options) Result {
	return opened(ctx, o, func(b *broker.Broker) Result {
		states := b.LoginStates()
		if len(states) == 0 {
			return Result{Warning, "no login yet", "Agents get no credential: their requests leave as they are.", "run kb login PROVIDER -p PROFILE"}
		}
		var lines []string
		fix, failed, unsure := "", 0, 0
		for _, s := range states {
			if s.State == broker.StateOK || s.State == broker.StateRefreshing {
				continue
			}
			if s.State == broker.StateUnknown {
				unsure++
				continue
			}
			if s.State == broker.StateNeedsLogin {
				failed++
			}
			lines = append(lines, fmt.Sprintf("%s at %s: %s, %s", s.Login.Profile, s.Login.Provider, s.State, s.Reason))
			if fix == "" && s.Fix != "" {
				fix = "run " + s.Fix
			}
		}
		if len(lines) > 0 {
			state := Warning
			if failed > 0 {
				state = Failed
			}
			line, rest := listed(lines)
			return Result{state, line, "Requests with that login are refused, or will be soon. " + rest, fix}
		}
		if unsure > 0 {
			return good("%s, %d of them never checked with the provider", plural(len(states), "login"), unsure)
		}
		return good("%s can be used", plural(len(states), "login"))
	})
}

// errAltered says that the audit is not as kb wrote it.
var errAltered = errors.New("the audit is not what kb wrote")

// checkAudit: the chain of every file is whole, against the sealed heads.
func checkAudit(ctx context.Context, o *Options) Result {
	return opened(ctx, o, func(b *broker.Broker) Result {
		report, err := b.VerifyAudit()
		if err != nil {
			return bad(Failed, err, "Without the audit nobody can say what was used where, and kb exec refuses.")
		}
		if !report.OK() {
			return bad(Failed, hint.Wrap(errAltered, "run kb audit verify: it names each file and line"),
				"Lines were changed, removed or added by something else than kb: a disk that lost writes, or somebody who wanted them gone.")
		}
		return good("%s in %s, none changed or removed", plural(int(report.Lines), "line"), plural(len(report.Files), "file"))
	})
}
