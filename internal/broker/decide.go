package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"kb/internal/state"
	"kb/profile"
	"kb/vaultfile"
)

// DecideSpec is where an agent stands.
type DecideSpec struct {
	Dir        string   // empty means the working directory
	Environ    []string // the child's variables: git reads its global configuration by them
	Command    string   // the agent's program, for rules on agents
	Explicit   string   // profile named by the user: needs no pin
	AcceptPin  bool     // accept a changed pin
	IgnorePin  bool     // neither look at pins nor write one
	ReportOnly bool     // look at pins, write none, refuse none
	// Confirm asks whether a changed profile is meant. Nil, or an error, means
	// that there is nobody to ask.
	Confirm func(context.Context, PinChange) (bool, error)
}

// Decision is which profile a directory gets.
type Decision struct {
	Match     profile.Match
	Workspace profile.Workspace
	Query     profile.Query
	Notes     []string // what a person should be told: a first pin, a changed one
	pin       string
}

// PinState says how the decision stands to the remembered one: "none", "same"
// or "changed".
func (d *Decision) PinState() string { return d.pin }

// PinChange is a directory whose profile is not the remembered one.
type PinChange struct {
	Directory  string
	Old, New   string
	OldRemotes []string
	NewRemotes []string
}

func (c PinChange) String() string {
	return fmt.Sprintf("%s had profile %s (remotes: %s) and now gets %s (remotes: %s)",
		c.Directory, c.Old, listOrNone(c.OldRemotes), c.New, listOrNone(c.NewRemotes))
}

func listOrNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// PinError says that a directory's profile has changed and nobody accepted it.
type PinError struct{ Change PinChange }

func (e *PinError) Error() string { return "use profile: " + e.Change.String() }

// ErrDeclined says that a person was asked and said no.
var ErrDeclined = errors.New("declined")

// Decide resolves a directory. With an error that a rule or pin gave, the
// Decision is there too, for kb which to explain. It needs every vault: rules
// of each have a say.
func (b *Broker) Decide(ctx context.Context, spec DecideSpec) (*Decision, error) {
	var query profile.Query
	var err error
	if b.standing != nil && spec.Dir == "" {
		query, err = b.standing.wait(spec)
	} else {
		query, err = b.query(ctx, spec)
	}
	if err != nil {
		return nil, err
	}
	return b.decide(ctx, spec, query)
}

// query collects what rules can ask about.
func (b *Broker) query(ctx context.Context, spec DecideSpec) (profile.Query, error) {
	dir := spec.Dir
	if dir == "" {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return profile.Query{}, fmt.Errorf("find working directory: %w", err)
		}
	}
	env := profile.Env{Home: b.paths.Home, Environ: spec.Environ}
	env.Git = program("git") // without git, profile reads what it can and says so
	env.SSH = program("ssh")
	workspace, err := profile.ReadWorkspace(ctx, dir, env)
	if err != nil {
		return profile.Query{}, err
	}
	machine, _ := os.Hostname() // a rule on a machine then matches none
	machine, _, _ = strings.Cut(machine, ".")
	query := profile.Query{
		Workspace: workspace, Machine: machine, Home: b.paths.Home, Explicit: spec.Explicit,
	}
	if u, err := user.Current(); err == nil {
		query.User = u.Username
	}
	if spec.Command != "" {
		query.Agent = filepath.Base(spec.Command)
	}
	return query, nil
}

// program finds a program in the absolute entries of PATH, "" if there is none:
// a relative entry would let a repository choose it.
func program(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if filepath.IsAbs(dir) {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path
			}
		}
	}
	return ""
}

func (b *Broker) decide(ctx context.Context, spec DecideSpec, query profile.Query) (*Decision, error) {
	if err := b.whole(); err != nil {
		return nil, err
	}
	var err error
	if query.Explicit, err = b.find(query.Explicit); err != nil {
		return nil, err
	}
	contents := b.All()
	query.Default = b.DefaultProfile()
	match, err := profile.Resolve(query, contents.Profiles, contents.Rules)
	d := &Decision{Match: match, Workspace: query.Workspace, Query: query, pin: "none"}
	if err != nil || spec.IgnorePin {
		return d, err
	}
	return d, b.checkPin(ctx, spec, d)
}

// DefaultProfile is the profile where no rule matches: the default vault's
// setting. Another vault's is for those whose default it is.
func (b *Broker) DefaultProfile() string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.primary.contents.Setting(vaultfile.SettingDefaultProfile)
}

// pinned is the full name of a pin's profile. A pin keeps the vault's name, so
// that it means the same when another one is the default.
func (b *Broker) pinned(p state.Pin) string {
	if p.Vault == "" || p.Vault == b.primary.name {
		return p.Profile
	}
	return p.Vault + "/" + p.Profile
}

// checkPin compares a decision with the remembered one. A change of the
// profile must be accepted: .git/config can be written by an agent, which could
// so borrow another client's identity for the next session.
func (b *Broker) checkPin(ctx context.Context, spec DecideSpec, d *Decision) error {
	if b.ci || spec.Explicit != "" && !spec.ReportOnly {
		return nil // a CI job starts afresh each time; -p is an explicit choice
	}
	key := pinKey(d.Workspace)
	old, known, err := b.store.Pin(key)
	if err != nil {
		return err
	}
	displaced, around := b.displacedPins(d)
	switch {
	case len(displaced) > 0 && (!known || b.pinned(old) == d.Match.Profile):
		old, known = displaced[0], true
	case !known && around != nil && b.pinned(*around) != d.Match.Profile:
		old, known = *around, true
	}
	remotes := remoteNames(d.Workspace)
	home, name, err := b.home(d.Match.Profile)
	if err != nil {
		return err
	}
	pin := state.Pin{CommonDir: key, Remotes: remotes, Vault: home.name, Profile: name, Time: b.now()}
	if d.Match.Rule != nil {
		pin.Rule = d.Match.Rule.ID
	}
	switch {
	case !known:
		d.pin = "none"
	case b.pinned(old) == d.Match.Profile:
		d.pin = "same"
		if slices.Equal(old.Remotes, remotes) {
			return nil
		}
	default:
		d.pin = "changed"
	}
	if spec.ReportOnly {
		return nil
	}
	names := b.names()
	change := PinChange{
		Directory: old.CommonDir, Old: names.show(b.pinned(old)), New: names.show(d.Match.Profile),
		OldRemotes: old.Remotes, NewRemotes: remotes,
	}
	switch d.pin {
	case "none":
		d.Notes = append(d.Notes, fmt.Sprintf("profile %s is now pinned to %s (%s)", change.New, key, d.Match.Reason))
	case "changed":
		if !spec.AcceptPin {
			if spec.Confirm == nil {
				return &PinError{change}
			}
			yes, err := spec.Confirm(ctx, change)
			if err != nil {
				return &PinError{change}
			}
			if !yes {
				return ErrDeclined
			}
		}
		d.Notes = append(d.Notes, fmt.Sprintf("pin of %s changed: %s → %s", change.Directory, change.Old, change.New))
	}
	for _, p := range displaced {
		p.Vault, p.Profile, p.Rule, p.Time = pin.Vault, pin.Profile, pin.Rule, pin.Time
		if err := b.store.PutPin(p); err != nil {
			return err
		}
	}
	return b.store.PutPin(pin)
}

// displacedPins are pins of this place with another profile under another key:
// an agent can replace .git by a file or link that names another repository,
// take it away, or make a repository where there was none. around is the pin of
// the nearest repository around this one: its agent may have made this one.
func (b *Broker) displacedPins(d *Decision) (displaced []state.Pin, around *state.Pin) {
	inside := true // of the repository that was found
	for dir := d.Workspace.Dir; ; dir = filepath.Dir(dir) {
		keys := []string{filepath.Join(dir, ".git")}
		if inside && d.Workspace.Root != "" {
			keys = append(keys, dir) // pinned before there was a repository
		}
		for _, key := range keys {
			// An error is a path too long for a pin: it has none.
			p, known, err := b.store.Pin(key)
			switch {
			case err != nil || !known || key == pinKey(d.Workspace):
			case !inside:
				return displaced, &p
			case b.pinned(p) != d.Match.Profile:
				displaced = append(displaced, p)
			}
		}
		if dir == filepath.Dir(dir) {
			return displaced, nil
		}
		inside = inside && dir != d.Workspace.Root
	}
}

// pinKey is what a pin is remembered by: the repository's real common
// directory, which all its worktrees share, or the directory itself.
func pinKey(w profile.Workspace) string {
	if w.CommonDir != "" {
		return w.CommonDir
	}
	return w.Dir
}

func remoteNames(w profile.Workspace) []string {
	var names []string
	for _, r := range w.Remotes {
		name := r.NormalResolved
		if name == "" {
			name = r.Normal
		}
		if name == "" {
			name = r.URL
		}
		names = append(names, r.Name+" "+name)
	}
	slices.Sort(names)
	return names
}
