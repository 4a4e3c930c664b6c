package desk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/vaultrepo"
	"kb/tui"
	"kb/vaultfile"
)

// shownHistory is how many versions of the vault the dashboard shows. 20: a screen
// full; each is read and decrypted for it. kb vault history has all.
const shownHistory = 20

// Vault implements tui.Backend.
func (d *Desk) Vault(ctx context.Context) (tui.Vault, error) {
	b, err := d.open(ctx)
	if err != nil {
		return tui.Vault{}, err
	}
	v := tui.Vault{Name: b.VaultName(), Path: b.VaultPath(), ID: b.VaultID(), Unlocked: "identity in a file, without a passphrase"}
	if b.IdentityHeld() {
		v.Unlocked = "identity with a passphrase, unlocked"
	}
	if info, err := os.Stat(v.Path); err == nil {
		v.Size = info.Size()
	}
	for _, other := range b.Vaults() {
		if other.Name != v.Name {
			v.Others = append(v.Others, other.Name)
		}
	}
	names, c := b.DeviceNames(), b.Contents()
	for _, one := range c.Devices {
		by := names[one.AddedBy]
		switch {
		case one.AddedBy == one.ID:
			by = "itself"
		case by == "":
			by = one.AddedBy
		}
		kind := one.Kind
		if kind == vaultfile.KindRecovery && len(one.SignKey) == 0 {
			kind = "recipient" // it reads, and no more
		}
		v.Devices = append(v.Devices, tui.Device{
			ID: one.ID, Name: one.Name, Kind: kind, Recipient: one.Recipient, Added: one.Created, AddedBy: by, This: one.ID == b.DeviceID(),
		})
	}
	for _, one := range c.Conflicts {
		v.Conflicts = append(v.Conflicts, conflictWords(one, names))
	}
	for _, removed := range b.Checklist() {
		for _, e := range removed.Open {
			v.Checklist = append(v.Checklist, tui.Rotate{Item: e.Item, Text: removed.Name + " could read " + e.Item + ": " + rotateWords(b, e)})
		}
	}
	v.Git, v.GitState = d.gitLine(ctx, b)
	if v.Git != "" {
		v.History = d.history(ctx, b, names)
	}
	return v, ctx.Err()
}

// gitLine says how the vault stands to its git repository; "" where it is in none.
func (d *Desk) gitLine(ctx context.Context, b *broker.Broker) (string, tui.CheckState) {
	states, err := b.GitStates(ctx)
	for _, s := range states {
		if s.Vault != b.VaultName() {
			continue
		}
		switch {
		case s.Operation.Name != "":
			return "a " + s.Operation.Name + " is in progress in " + s.Repository, tui.CheckFailed
		case s.Unmerged:
			return "git left it to be merged: S merges it", tui.CheckFailed
		case !s.Tracked:
			return "not committed in " + s.Repository + ": S does it", tui.CheckWarning
		case s.Modified:
			return "changes that are not committed: S does it", tui.CheckWarning
		case s.Ahead > 0 || s.Behind > 0:
			return fmt.Sprintf("%d ahead of %s, %d behind: S levels it", s.Ahead, s.Upstream, s.Behind), tui.CheckWarning
		case !s.SetUp:
			return "git does not merge it with kb: g sets that up", tui.CheckWarning
		case s.Upstream == "":
			return "clean, without a remote", tui.CheckOK
		case !s.Known:
			return "clean; " + s.Upstream + " was not asked yet: S does it", tui.CheckOK
		}
		return "clean, level with " + s.Upstream, tui.CheckOK
	}
	if err != nil {
		return d.line(err), tui.CheckFailed
	}
	return "", tui.CheckSkipped
}

// history is what changed, newest first, in words and never by value.
func (d *Desk) history(ctx context.Context, b *broker.Broker, names map[string]string) []tui.Past {
	versions, err := b.History(ctx, shownHistory)
	if err != nil {
		if errors.Is(err, vaultrepo.ErrNone) {
			return nil
		}
		return []tui.Past{{What: "cannot be read: " + d.line(err)}}
	}
	var out []tui.Past
	for _, p := range versions {
		who := deviceName(p.Device, names)
		say := func(who, what string) { out = append(out, tui.Past{When: p.When, Who: who, What: what}) }
		switch {
		case p.Removed:
			say(p.Author, "the vault was removed")
		case p.Err != nil:
			say(p.Author, "cannot be read: "+p.Err.Error())
		case p.Merge && len(p.Changes) == 0:
			say(who, "merge")
		case len(p.Changes) == 0:
			say(who, "nothing by name")
		}
		for _, c := range p.Changes {
			say(deviceName(c.Device, names), changeWords(c, names))
		}
	}
	return out
}

func deviceName(id string, names map[string]string) string {
	if name := names[id]; name != "" {
		return name
	}
	return id
}

// changeWords is a change in one line.
func changeWords(c vaultfile.Change, names map[string]string) string {
	s := c.Op.String() + " " + c.Type + "/" + c.Key
	if name := names[c.Key]; c.Type == "device" && name != "" {
		s += " " + name
	}
	if len(c.Fields) > 0 {
		s += " (" + strings.Join(c.Fields, ", ") + ")"
	}
	return s
}

// conflictWords says what was edited twice, and how it is settled.
func conflictWords(c vaultfile.Conflict, names map[string]string) string {
	var who []string
	for _, v := range c.Versions {
		who = append(who, deviceName(v.Device, names))
	}
	until, fix := "only what all versions allow is in use", "kb profile set "+hint.Word(c.Key)+" --also …"
	if c.Type == "provider" {
		until, fix = "its logins are refused", "kb provider add FILE"
	}
	return fmt.Sprintf("%s of %s/%s was edited on %s at once: %s; settle it with %s", c.Field, c.Type, c.Key, strings.Join(who, " and "), until, fix)
}

// rotateWords is how a thing that a removed device could read is changed.
func rotateWords(b *broker.Broker, e vaultfile.Exposure) string {
	parts := strings.Split(e.Key, "/")
	switch {
	case e.Reference:
		return "change it where it is kept, then mark it"
	case e.Type != "login" || len(parts) < 2:
		return "change it, then mark it"
	}
	command := "kb login " + hint.Word(parts[1]) + " -p " + hint.Word(b.ProfileIn(parts[0]))
	if len(parts) > 2 {
		command += " --as " + hint.Word(parts[2])
	}
	return command + " --replace"
}

// Sync implements tui.Backend.
func (d *Desk) Sync(ctx context.Context) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	r, err := b.Sync(ctx)
	if err != nil {
		var early *broker.SyncError
		advised := d.advise(err)
		if errors.As(err, &early) && early.Committed {
			return "", hint.Wrap(fmt.Errorf("%w (the vault is committed here)", advised), hint.Fix(advised))
		}
		return "", advised
	}
	names := b.DeviceNames()
	where := r.Remote + " " + r.Branch
	note := where + " has it all already"
	switch {
	case r.Pushed:
		note = "pushed to " + where
	case len(r.Received) > 0:
		note = "up to date with " + where + " now"
	}
	if len(r.Quarantined) > 0 {
		q := r.Quarantined[0]
		note += fmt.Sprintf("; %d left out: %s/%s of %s: %s", len(r.Quarantined), q.Type, q.Key, deviceName(q.Device, names), q.Reason)
	}
	if n := len(r.Conflicts); n > 0 {
		note += fmt.Sprintf("; edited twice: %d, see below", n)
	}
	for _, c := range r.Received {
		note += "; received " + changeWords(c, names)
	}
	for _, c := range r.Sent {
		note += "; sent " + changeWords(c, names)
	}
	return note, nil
}

// RemoveDevice implements tui.Backend.
func (d *Desk) RemoveDevice(ctx context.Context, id string) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	device, err := b.FindDevice(id)
	if err != nil {
		return "", d.advise(err)
	}
	removed, err := b.RemoveDevice(ctx, device.ID)
	if err != nil {
		return "", d.advise(err)
	}
	note := device.Name + " is out of the vault here: S tells the other devices"
	if n := len(removed.Open); n > 0 {
		note += fmt.Sprintf("; secrets that it has read: %d, listed below: change each", n)
	}
	return note, nil
}

// ReadJoin implements tui.Backend.
func (d *Desk) ReadJoin(_ context.Context, request string) (tui.JoinRequest, error) {
	r, err := parseJoin(request)
	if err != nil {
		return tui.JoinRequest{}, d.advise(err)
	}
	return tui.JoinRequest{Device: r.Name, Fingerprint: r.Fingerprint()}, nil
}

// parseJoin reads a request that was pasted: the terminal may have broken the line.
func parseJoin(request string) (*vaultfile.JoinRequest, error) {
	return vaultfile.ParseJoinRequest(strings.Join(strings.Fields(request), ""))
}

// ApproveDevice implements tui.Backend.
func (d *Desk) ApproveDevice(ctx context.Context, request string) (string, error) {
	r, err := parseJoin(request)
	if err != nil {
		return "", d.advise(err)
	}
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	approval, err := b.Approve(ctx, r)
	if err != nil {
		return "", d.advise(err)
	}
	return strings.ReplaceAll(approval.Code, "-", " "), nil
}

// Rotated implements tui.Backend.
func (d *Desk) Rotated(ctx context.Context, item string) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	err = b.Rotated(ctx, item)
	if errors.Is(err, vaultfile.ErrNotFound) {
		err = hint.Wrap(fmt.Errorf("take %q off the list: it is not on it", item), "somebody was faster: ctrl+r shows it as it is")
	}
	return item + " is off the list", d.advise(err)
}
