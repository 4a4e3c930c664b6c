package desk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	"kb/internal/audit"
	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/policy"
	"kb/internal/state"
	"kb/profile"
	"kb/tui"
	"kb/vaultfile"
)

// usedWithin is how many of the newest audit lines are looked at for when a
// profile was used last. 2,000: an hour of a busy agent, and read in
// milliseconds; what was used before that is not said.
const usedWithin = 2000

// Profiles implements tui.Backend.
func (d *Desk) Profiles(ctx context.Context) (tui.Profiles, error) {
	b, err := d.open(ctx)
	if err != nil {
		return tui.Profiles{}, err
	}
	all, used := b.All(), d.lastUsed()
	out := tui.Profiles{Default: b.Show(b.DefaultProfile())}
	ids := map[string]int{}
	for _, r := range all.Rules {
		ids[r.ID]++
	}
	for _, l := range b.Policies() {
		ids[l.ID]++
	}
	// An id that two vaults have is told with its vault, as rm takes it.
	id := func(id, vault string) string {
		if ids[id] > 1 {
			return vault + "/" + id
		}
		return id
	}
	for _, p := range all.Profiles {
		full, shown, vault := p.Name, b.Show(p.Name), b.VaultOf(p.Name)
		one := tui.Profile{
			ProfileSpec: tui.ProfileSpec{
				Old: shown, Name: shown, GitName: p.GitName, GitEmail: p.GitEmail, SigningKey: p.SigningKey,
				Also: p.Also, Egress: p.Egress,
			},
			Vault: vault, Default: full == b.DefaultProfile(), Expect: p.Expect, LastUsed: used(full, shown),
		}
		if one.Egress == "" {
			one.Egress = "open"
		}
		rules := slices.DeleteFunc(slices.Clone(all.Rules), func(r profile.Rule) bool { return r.Profile != full })
		sort.SliceStable(rules, func(i, j int) bool { return compareStrength(rules[i], rules[j]) < 0 })
		for _, r := range rules {
			one.Rules = append(one.Rules, tui.Rule{
				ID: id(r.ID, vault), Profile: shown, Remote: r.Remote, Dir: r.Dir, User: r.User, Machine: r.Machine, Agent: r.Agent,
			})
		}
		for _, l := range all.Logins {
			if l.Profile == full {
				one.Logins++
			}
		}
		for _, l := range b.Policies() {
			if l.Profile == full {
				one.Policies = append(one.Policies, tui.Policy{ID: id(l.ID, vault), Text: l.Words, PolicySpec: tui.PolicySpec{
					Profile: shown, Effect: string(l.Effect), PerMinute: l.PerMinute, Provider: l.Provider, Methods: l.Methods,
					Host: l.Host, Path: l.Path, Repository: l.Repository, Git: l.Git, Mint: l.Mint,
				}})
			}
		}
		out.Profiles = append(out.Profiles, one)
	}
	pins, err := b.Pins()
	if err != nil {
		return out, d.advise(err)
	}
	for _, p := range pins {
		out.Pins = append(out.Pins, d.pin(ctx, b, p))
	}
	return out, ctx.Err()
}

// lastUsed finds when profiles were used last, in the newest of the audit. That
// it cannot be read is another screen's to say.
func (d *Desk) lastUsed() func(full, shown string) time.Time {
	events, _ := audit.Tail(d.o.Paths.Audit(), usedWithin, audit.Filter{})
	last := map[string]time.Time{}
	for _, e := range events {
		last[e.Profile] = e.Time // they are by time
	}
	return func(full, shown string) time.Time {
		a, b := last[full], last[shown]
		if b.After(a) {
			return b
		}
		return a
	}
}

// compareStrength orders rules as far as that can be said without a place: more
// conditions first, a remote before a directory, then the longer pattern.
func compareStrength(a, b profile.Rule) int {
	weigh := func(r profile.Rule) []int {
		conditions := 0
		for _, s := range []string{r.Remote, r.Dir, r.User, r.Machine, r.Agent} {
			if s != "" {
				conditions++
			}
		}
		literal := func(s string) int { return len(strings.ReplaceAll(s, "*", "")) }
		return []int{-conditions, -min(1, len(r.Remote)), -literal(r.Remote), -literal(r.Dir)}
	}
	return slices.Compare(weigh(a), weigh(b))
}

// pin says how a remembered decision stands to what is there now.
func (d *Desk) pin(ctx context.Context, b *broker.Broker, p state.Pin) tui.Pin {
	full := p.Profile
	if p.Vault != "" && p.Vault != b.VaultName() {
		full = p.Vault + "/" + p.Profile
	}
	dir := p.CommonDir
	if filepath.Base(dir) == ".git" {
		dir = filepath.Dir(dir)
	}
	out := tui.Pin{Dir: dir, Profile: b.Show(full), When: p.Time, Was: strings.Join(p.Remotes, ", ")}
	decision, err := b.Decide(ctx, broker.DecideSpec{Dir: dir, Environ: d.o.Environ, ReportOnly: true})
	switch {
	case decision == nil && errors.Is(err, os.ErrNotExist):
		out.Now = "the folder is gone"
	case decision == nil:
		out.Now = d.line(err)
	case err != nil:
		out.Changed, out.Now = true, remotesOf(decision)+": "+d.line(err)
	default:
		out.Changed = decision.PinState() == "changed"
		out.Now = remotesOf(decision)
		if now := b.Show(decision.Match.Profile); now != out.Profile {
			out.Was, out.Now = out.Profile+" by "+out.Was, now+" by "+out.Now
		}
	}
	return out
}

// line is an error with its advice, in one line.
func (d *Desk) line(err error) string {
	err = d.advise(err)
	if fix := hint.Fix(err); fix != "" {
		return err.Error() + ": " + fix
	}
	return err.Error()
}

func remotesOf(d *broker.Decision) string {
	var names []string
	for _, r := range d.Workspace.Remotes {
		names = append(names, r.Name+" "+r.Shown())
	}
	if names == nil {
		return "no remote"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// errRename: rules and logins of every device name the profile.
var errRename = errors.New("change profile: a profile keeps its name")

// PutProfile implements tui.Backend.
func (d *Desk) PutProfile(ctx context.Context, s tui.ProfileSpec) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	fill := func(p *profile.Profile) error {
		p.GitName, p.GitEmail, p.SigningKey, p.Also, p.Egress = s.GitName, s.GitEmail, s.SigningKey, s.Also, s.Egress
		return profile.ValidateProfile(*p)
	}
	if s.Old == "" {
		p := profile.Profile{Name: s.Name}
		if err := fill(&p); err != nil {
			return "", d.advise(err)
		}
		contents := b.Contents()
		if _, ok := contents.Profile(p.Name); ok {
			return "", hint.Wrap(fmt.Errorf("add profile %q: it exists", p.Name), "choose another name, or e on it to change it")
		}
		if err := b.Edit(ctx, func(tx *vaultfile.Tx) error { return tx.PutProfile(p) }); err != nil {
			return "", d.advise(err)
		}
		return "profile " + p.Name + " added; give it a rule (a) and logins (l on Logins)", nil
	}
	if s.Old != s.Name {
		return "", hint.Wrap(errRename, "make a new one (n), and move its rules and logins there")
	}
	full, err := b.Find(s.Old)
	if err != nil {
		return "", d.advise(err)
	}
	old, _, err := b.Profile(full)
	if err != nil {
		return "", d.advise(err)
	}
	if err := b.ChangeProfile(ctx, full, !slices.Equal(old.Also, s.Also), fill); err != nil {
		return "", d.advise(err)
	}
	return "profile " + s.Name + " changed", nil
}

// RemoveProfile implements tui.Backend.
func (d *Desk) RemoveProfile(ctx context.Context, name string) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	full, err := b.Find(name)
	if err == nil {
		err = b.RemoveProfile(ctx, full)
	}
	return "profile " + name + " removed", d.advise(err)
}

// DefaultProfile implements tui.Backend.
func (d *Desk) DefaultProfile(ctx context.Context, name string) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	full, note := "", "no profile is the default now"
	if name != "" {
		if full, err = b.Find(name); err != nil {
			return "", d.advise(err)
		}
		if strings.Contains(full, "/") {
			return "", hint.Wrap(fmt.Errorf("set default profile: %s is not in vault %s, whose setting it is", name, b.VaultName()),
				"name a profile of that vault, or give the directory a rule (a)")
		}
		note = "profile " + name + " is for directories that no rule matches"
	}
	err = b.Edit(ctx, func(tx *vaultfile.Tx) error {
		return tx.PutSetting(vaultfile.Setting{Name: vaultfile.SettingDefaultProfile, Value: full})
	})
	return note, d.advise(err)
}

// AddRule implements tui.Backend.
func (d *Desk) AddRule(ctx context.Context, given tui.Rule) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	full, err := b.Find(given.Profile)
	if err != nil {
		return "", d.advise(err)
	}
	p, _, err := b.Profile(full)
	if err != nil {
		return "", d.advise(err)
	}
	r := profile.Rule{Profile: p.Name, Remote: given.Remote, Dir: given.Dir, User: given.User, Machine: given.Machine, Agent: given.Agent}
	if err := profile.ValidateRule(r); err != nil {
		return "", d.advise(err)
	}
	r.Profile = full
	id, err := b.AddRule(ctx, r)
	if err != nil {
		return "", d.advise(err)
	}
	return fmt.Sprintf("rule %s: %s gets profile %s", id, r.Conditions(), b.Show(full)), nil
}

// RemoveRule implements tui.Backend.
func (d *Desk) RemoveRule(ctx context.Context, id string) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	return "rule " + id + " removed", d.advise(b.RemoveRule(ctx, id))
}

// RemovePin implements tui.Backend.
func (d *Desk) RemovePin(ctx context.Context, dir string) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	where, err := b.RemovePin(ctx, dir)
	return "pin of " + where + " forgotten; the next kb exec there pins anew", d.advise(err)
}

// AddPolicy implements tui.Backend.
func (d *Desk) AddPolicy(ctx context.Context, s tui.PolicySpec) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	line := vaultfile.Policy{
		Effect: s.Effect, PerMinute: s.PerMinute, Provider: s.Provider, Host: strings.ToLower(s.Host), Path: s.Path,
		Repository: s.Repository, Git: s.Git, Mint: s.Mint,
	}
	for _, m := range s.Methods {
		line.Methods = append(line.Methods, strings.ToUpper(m))
	}
	if line.Profile, err = b.Find(s.Profile); err != nil {
		return "", d.advise(err)
	}
	id, err := b.AddPolicy(ctx, line)
	if err != nil {
		return "", d.advise(err)
	}
	return fmt.Sprintf("policy %s: profile %s: %s", id, b.Show(line.Profile), broker.PolicyWords(line)), nil
}

// RemovePolicy implements tui.Backend.
func (d *Desk) RemovePolicy(ctx context.Context, id string) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	return "policy " + id + " removed", d.advise(b.RemovePolicy(ctx, id))
}

// place is a directory as a person types it.
func (d *Desk) place(dir string) string {
	dir = strings.TrimSpace(dir)
	if rest, ok := strings.CutPrefix(dir, "~"); ok && (rest == "" || rest[0] == '/') {
		dir = d.o.Paths.Home + rest
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(d.o.Dir, dir)
	}
	return dir
}

// TestPath implements tui.Backend: kb rule test. That there is no profile is an
// answer.
func (d *Desk) TestPath(ctx context.Context, dir string) (tui.Resolution, error) {
	b, err := d.open(ctx)
	if err != nil {
		return tui.Resolution{}, err
	}
	decision, err := b.Decide(ctx, broker.DecideSpec{Dir: d.place(dir), Environ: d.o.Environ, IgnorePin: true, ReportOnly: true})
	if decision == nil {
		return tui.Resolution{}, d.advise(err)
	}
	out := tui.Resolution{Dir: decision.Workspace.Dir, Reason: decision.Match.Reason}
	if err != nil {
		out.Reason = d.line(err)
	} else {
		out.Profile = b.Show(decision.Match.Profile)
	}
	if decision.Match.Rule != nil {
		out.Rule = decision.Match.Rule.ID
	}
	for _, r := range decision.Match.Matched {
		out.Matched = append(out.Matched, fmt.Sprintf("%s: %s gets %s", r.ID, r.Conditions(), b.Show(r.Profile)))
	}
	for _, r := range decision.Workspace.Remotes {
		out.Remotes = append(out.Remotes, r.Name+" "+r.Shown())
	}
	return out, nil
}

// TestPolicy implements tui.Backend: kb policy test, in lines.
func (d *Desk) TestPolicy(ctx context.Context, name, method, url string) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	full, err := b.Find(name)
	if err != nil {
		return "", d.advise(err)
	}
	probe := broker.PolicyProbe{Profile: full, Method: strings.ToUpper(strings.TrimSpace(method)), URL: strings.TrimSpace(url)}
	t, err := b.TestPolicy(ctx, probe)
	if err != nil {
		return "", d.advise(err)
	}
	where := t.Host
	if t.Port != 443 {
		where = fmt.Sprintf("%s:%d", t.Host, t.Port)
	}
	lines := []string{string(t.Verdict.Effect) + ": " + t.Verdict.Reason, probe.Method + " https://" + where + t.Path}
	for _, f := range [...][2]string{{"provider", t.Provider}, {"repository", t.Repository}, {"git", t.Git}} {
		if f[1] != "" {
			lines = append(lines, f[0]+" "+f[1])
		}
	}
	if t.Mint {
		lines = append(lines, "its answer is a new credential")
	}
	if !t.Read {
		lines = append(lines, "no login of this profile has a rule for the host: the connection is not read, and only lines whose one condition is the host count")
	}
	for i := range t.Fitting {
		r, word := &t.Fitting[i], "fits"
		switch {
		case t.Verdict.Rule != nil && r.ID == t.Verdict.Rule.ID:
			word = "decides"
		case r.Effect == policy.Limit:
			word = "counts"
		}
		lines = append(lines, word+" "+r.ID+": "+r.String())
	}
	return strings.Join(lines, "\n"), nil
}
