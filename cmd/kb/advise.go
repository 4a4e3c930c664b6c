package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"kb/internal/atomicfile"
	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/state"
	"kb/internal/supervisor"
	"kb/profile"
	"kb/providers"
	"kb/vaultfile"
)

// advise adds to an error what a person should do about it, and the exit code.
// Errors that have advice already keep it.
func advise(err error) error {
	var already *hint.Error
	if err == nil || errors.As(err, &already) {
		return err
	}
	if advised, ok := adviseControl(err); ok {
		return advised
	}
	if advised, ok := adviseGit(err); ok {
		return advised
	}
	if advised, ok := advisePolicy(err); ok {
		return advised
	}
	var (
		ambiguous *profile.AmbiguousError
		unknown   *profile.UnknownProfileError
		named     *broker.UnknownProfileError
		pin       *broker.PinError
		rejected  *broker.RejectedError
		offline   *broker.UnreachableError
		account   *broker.WrongAccountError
		newer     *vaultfile.NewerVersionError
		start     *supervisor.StartError
		insecure  *state.InsecureDirError
		device    *broker.NoDeviceError
		kind      *broker.KindError
		mix       *vaultfile.MixError
		plugin    *vaultfile.PluginError
	)
	var (
		ambiguousName *broker.AmbiguousProfileError
		unavailable   *broker.UnavailableError
		missing       *broker.MissingVaultError
		noVault       *broker.UnknownVaultError
		noRule        *broker.UnknownRuleError
		sameRule      *broker.SameRuleError
		meanwhile     *broker.MeanwhileError
	)
	human := func(fix string) error { return hint.Exit(hint.Human, err, fix) }
	failure := func(fix string) error { return hint.Exit(hint.Failure, err, fix) }
	switch {
	case errors.As(err, &unavailable):
		return human(mendVault(unavailable))
	case errors.As(err, &missing):
		return human("bring the file back, or have this device forget it: kb vault forget " + missing.Vault)
	case errors.As(err, &ambiguousName):
		return human("name one in full: " + strings.Join(ambiguousName.Full, " or "))
	case errors.As(err, &noVault):
		return failure("run kb vault ls, or kb init --vault PATH --name " + noVault.Name)
	case errors.As(err, &meanwhile):
		return failure("run kb vault edit again: it shows how things are now")
	case errors.As(err, &noRule):
		return failure("run kb rule ls")
	case errors.As(err, &sameRule):
		return failure("run kb rule rm " + sameRule.ID + " first")
	case errors.Is(err, broker.ErrAmbiguousRule):
		return human("run kb rule rm VAULT/ID with one of them")
	case errors.Is(err, broker.ErrVaultName):
		return hint.Exit(hint.Usage, err, "choose another name: kb init --name NAME")
	case errors.Is(err, broker.ErrUnnamed):
		return hint.Exit(hint.Usage, err, "run kb init --vault PATH --name NAME")
	case errors.Is(err, broker.ErrNoHome):
		return failure("set HOME to your home directory")
	case errors.Is(err, broker.ErrNoIdentity), errors.Is(err, broker.ErrNoVault):
		return human("run kb init, or kb demo to see what kb does")
	case errors.Is(err, broker.ErrIdentity):
		return failure("run it without --passphrase: the identity that is there is used as it is")
	case errors.Is(err, broker.ErrNotApproved):
		return human("run kb device approve REQUEST on a device that opens it (kb device join shows the request), then bring the vault here (git pull)")
	case errors.Is(err, broker.ErrNeedsCode):
		return human(adviseCode)
	case errors.Is(err, broker.ErrJoined):
		return failure("run kb status; or name a second vault with --vault-name NAME --vault PATH")
	case errors.Is(err, broker.ErrNotAsked):
		return failure("run kb device join first; or kb status, if this device is in")
	case errors.As(err, &device):
		return failure("run kb device ls, and name the device by its id")
	case errors.As(err, &kind):
		return failure(adviseKind(kind))
	case errors.As(err, &mix):
		return failure(adviseMix(mix))
	case errors.As(err, &plugin):
		return failure(fmt.Sprintf("install age-plugin-%s on this device, or take that recipient out: kb device rm %s", plugin.Plugin, hint.Word(plugin.Device)))
	case errors.Is(err, broker.ErrLocked):
		return human("run kb unlock")
	case errors.Is(err, broker.ErrDeclined):
		return hint.Exit(hint.Cancelled, err, "name another profile with -p NAME")
	case errors.Is(err, profile.ErrNoMatch):
		return human("run kb rule add PROFILE --remote or --dir …, or name one with -p NAME; kb which shows what was looked at")
	case errors.As(err, &ambiguous):
		return human(settleTie(ambiguous))
	case errors.As(err, &unknown):
		fix := "run kb profile ls, or kb profile add " + unknown.Name
		if unknown.Rule != nil {
			fix += "; the rule goes with kb rule rm " + unknown.Rule.ID
		}
		return human(fix)
	case errors.As(err, &named):
		return hint.Exit(hint.Human, err, "run kb profile ls, or kb profile add "+named.Name)
	case errors.As(err, &pin):
		return human("if that is meant, run kb exec --accept-pin …, or name the profile with -p NAME")
	case errors.As(err, &rejected):
		return failure("check the key and that it has not expired; --no-verify keeps it without asking")
	case errors.As(err, &offline):
		return failure("check the network and try again; --no-verify keeps the key without asking")
	case errors.As(err, &account):
		return hint.Exit(hint.Refused, err, fmt.Sprintf("log in with the right account, or run kb profile set %s --expect %s=ACCOUNT", account.Profile, account.Provider))
	case errors.As(err, &start):
		return hint.Exit(start.Code, err, "check the command's name and PATH")
	case errors.As(err, &insecure):
		return failure("run chmod 700 on that folder, and see who could write there")
	case errors.Is(err, providers.ErrUnknown):
		return failure("run kb provider ls")
	case errors.Is(err, providers.ErrNeedsBase):
		return hint.Exit(hint.Usage, err, "add --url https://HOST, the address of your own server")
	case errors.Is(err, state.ErrNoKeyring):
		return failure("this system has no keyring for kb unlock; use an identity without a passphrase, or KB_IDENTITY_FILE")
	case errors.Is(err, state.ErrForeignStore), errors.Is(err, state.ErrTampered):
		return failure("the state folder is not this identity's: restore identity.txt, or move the state folder away and run kb init")
	case errors.As(err, &newer):
		return failure("install a newer kb; nothing was written")
	}
	return adviseVault(err)
}

// mendVault is what to do about a vault without which nothing can be decided.
func mendVault(e *broker.UnavailableError) string {
	fix := hint.Fix(advise(e.Err))
	if fix != "" {
		fix += "; "
	}
	return fix + "or do without it: kb vault forget " + e.Vault
}

// adviseVault knows the ways in which a vault can be wrong.
func adviseVault(err error) error {
	for _, known := range []struct {
		err error
		fix string
	}{
		{vaultfile.ErrWrongKey, "run kb device join here and approve it on a device that opens the vault, or kb vault recover with the paper key"},
		{vaultfile.ErrNoTrust, "run kb device join here, and approve it on a device that opens the vault"},
		{vaultfile.ErrWrongCode, "compare the words with those on the approving device, and that the vault here is the one it saved (git pull); if both are right, do not use this vault: someone swapped it"},
		{vaultfile.ErrBadRequest, "run kb device join on the new machine again and copy the whole line"},
		{vaultfile.ErrDeviceRemoved, "give that device a new identity: move its state folder away, and run kb device join on it again"},
		{vaultfile.ErrSelf, "run kb device rm on another device of the vault"},
		{vaultfile.ErrPaper, "type the line from the paper whole; it begins with AGE-SECRET-KEY-"},
		{vaultfile.ErrPaperReads, "read the vault with age -d -i FILE vault.age, and make a new one with kb init"},
		{vaultfile.ErrBrokenChain, "run kb vault recover in a terminal, where you can say that it is yours"},
		{vaultfile.ErrUnsupportedRecipient, "run kb device add-recipient --help: it lists what a vault can be encrypted to"},
		{vaultfile.ErrRollback, "bring the newer file back (git log -- vault.age), or take this one knowingly: kb vault accept"},
		{vaultfile.ErrForked, "bring the file of this device's last save back (git log -- vault.age), or take this one knowingly: kb vault accept"},
		{vaultfile.ErrForeignVault, "put the right vault back, take this one knowingly: kb vault accept, or make a new one with kb init --vault PATH --name NAME"},
		{vaultfile.ErrRemovedSigner, "put a version back that a device of yours saved (git log -- vault.age)"},
		{vaultfile.ErrUnknownSigner, "put a version back that a device of yours saved (git log -- vault.age)"},
		{vaultfile.ErrBadSignature, "put a version back that a device of yours saved (git log -- vault.age)"},
		{vaultfile.ErrUntrustedDevice, "put a version back that a device of yours saved (git log -- vault.age)"},
		{vaultfile.ErrTampered, "restore the file from git: git checkout HEAD -- vault.age"},
		{vaultfile.ErrTruncated, "restore the file from git: git checkout HEAD -- vault.age"},
		{vaultfile.ErrMalformed, "restore the file from git: git checkout HEAD -- vault.age"},
		{vaultfile.ErrNotVault, "check the path: kb vault path shows where kb looks"},
		{vaultfile.ErrExists, "it is yours already: run kb status; or add another: kb init --vault PATH --name NAME"},
		{vaultfile.ErrReadOnly, "do it on a device of your own: a CI identity only reads"},
		{vaultfile.ErrPassphrase, "run kb unlock again"},
		{vaultfile.ErrBadIdentity, "restore the identity file from your backup"},
		{state.ErrNotFound, "run kb pin ls"},
		{atomicfile.ErrUnconfirmed, "check the disk, then see with kb vault show what the vault holds"},
		{syscall.ENOSPC, "make room on that disk and run it again: nothing was changed"},
		{syscall.EDQUOT, "make room on that disk and run it again: nothing was changed"},
		{syscall.EROFS, "run it again when that folder can be written: nothing was changed"},
		{fs.ErrPermission, "check who owns the file, and its mode"},
	} {
		if errors.Is(err, known.err) {
			return hint.Exit(hint.Failure, err, known.fix)
		}
	}
	return err
}

// adviseKind is what to do about an identity of the wrong kind of key.
func adviseKind(e *broker.KindError) string {
	switch {
	case e.PostQuantum && e.NoIdentity:
		return "run kb device join --pq"
	case e.PostQuantum:
		return "a device has one identity for all its vaults: give it a new one by moving its state folder away, and run kb device join --pq (or kb init --pq)"
	case e.NoIdentity:
		return "run kb device join without --pq"
	}
	return "a device has one identity for all its vaults: give it a new one by moving its state folder away, and run kb device join without --pq"
}

// adviseMix is what to do about a recipient that age would not mix with the
// vault's others.
func adviseMix(e *vaultfile.MixError) string {
	if e.PostQuantum {
		return "run kb device join --pq on the new machine; as a recipient give an age1pq1… one, made by age-keygen -pq"
	}
	return "run kb device join without --pq on the new machine; as a recipient give age1… or ssh-ed25519; a vault that is post-quantum as a whole is made by kb init --pq"
}

// settleTie is what to do about rules that are equally strong.
func settleTie(e *profile.AmbiguousError) string {
	var removes []string
	for _, r := range e.Rules {
		removes = append(removes, "kb rule rm "+r.ID+" (leaves the other)")
	}
	return "run one of: " + strings.Join(removes, ", ") + "; or name the profile with -p NAME"
}
