package desk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kb/internal/broker"
	"kb/internal/desk"
	"kb/internal/secret"
	"kb/profile"
	"kb/tui"
	"kb/vaultfile"
)

// records is a home with a vault, and a desk at it.
type records struct {
	*testing.T
	*desk.Desk
	home string
	o    broker.Options
}

func newRecords(t *testing.T) *records {
	t.Helper()
	t.Parallel()
	home := t.TempDir()
	r := &records{T: t, home: home, o: broker.Options{
		Paths: broker.Paths{
			Config: filepath.Join(home, "config"), State: filepath.Join(home, "state"), Runtime: filepath.Join(home, "run"), Home: home,
		},
		Getenv: func(string) string { return "" },
	}}
	if _, err := broker.Init(t.Context(), broker.InitOptions{Options: r.o, Device: "laptop"}); err != nil {
		t.Fatal(err)
	}
	r.Desk = desk.New(desk.Options{Paths: r.o.Paths, Getenv: r.o.Getenv, Environ: r.environ(), Dir: home})
	return r
}

func (r *records) environ() []string {
	return []string{"HOME=" + r.home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
}

func (r *records) git(args ...string) {
	r.Helper()
	cmd := exec.CommandContext(r.Context(), "git", args...)
	cmd.Env = r.environ()
	if out, err := cmd.CombinedOutput(); err != nil {
		r.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// other is another kb: what it reads is on the disk.
func (r *records) other() *broker.Broker {
	r.Helper()
	b, err := broker.Open(r.Context(), r.o)
	if err != nil {
		r.Fatal(err)
	}
	return b
}

// do takes what an action returned, and wants words in its note.
func (r *records) do(want string) func(string, error) {
	return func(note string, err error) {
		r.Helper()
		if err != nil || !strings.Contains(note, want) {
			r.Fatalf("note %q, error %v, want %q", note, err, want)
		}
	}
}

// refuse wants an error with words.
func (r *records) refuse(want string) func(string, error) {
	return func(_ string, err error) {
		r.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			r.Fatalf("error %v, want %q", err, want)
		}
	}
}

func (r *records) profile(name string) tui.Profile {
	r.Helper()
	all, err := r.Profiles(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	i := slices.IndexFunc(all.Profiles, func(p tui.Profile) bool { return p.Name == name })
	if i < 0 {
		r.Fatalf("there is no profile %s: %+v", name, all)
	}
	return all.Profiles[i]
}

func TestProfiles(t *testing.T) {
	r := newRecords(t)
	ctx := t.Context()
	r.do("profile work added")(r.PutProfile(ctx, tui.ProfileSpec{Name: "work", GitName: "Sam", GitEmail: "sam@acme.example", Egress: "listed"}))
	r.do("profile oss added")(r.PutProfile(ctx, tui.ProfileSpec{Name: "oss", Egress: "open"}))
	r.refuse("it exists")(r.PutProfile(ctx, tui.ProfileSpec{Name: "work"}))
	r.refuse("keeps its name")(r.PutProfile(ctx, tui.ProfileSpec{Old: "work", Name: "play"}))
	r.refuse("")(r.PutProfile(ctx, tui.ProfileSpec{Name: "no good"}))
	r.do("profile work changed")(r.PutProfile(ctx, tui.ProfileSpec{Old: "work", Name: "work", GitEmail: "sam@acme.example", Also: []string{"oss"}, Egress: "open"}))
	p, _, err := r.other().Profile("work")
	if err != nil || p.GitName != "" || p.GitEmail != "sam@acme.example" || !slices.Equal(p.Also, []string{"oss"}) || p.Egress != "open" {
		t.Errorf("the vault has %+v, %v", p, err)
	}
	r.do("work is for directories")(r.DefaultProfile(ctx, "work"))
	if got := r.other().DefaultProfile(); got != "work" || !r.profile("work").Default || r.profile("oss").Default {
		t.Errorf("the default is %q", got)
	}
	r.refuse("")(r.DefaultProfile(ctx, "nobody"))
	r.do("no profile")(r.DefaultProfile(ctx, ""))
	if got := r.other().DefaultProfile(); got != "" {
		t.Errorf("the default is %q", got)
	}
	r.do("removed")(r.RemoveProfile(ctx, "work"))
	r.refuse("")(r.RemoveProfile(ctx, "work"))
	if _, _, err := r.other().Profile("work"); err == nil {
		t.Error("the profile is in the vault")
	}
}

func TestRules(t *testing.T) {
	r := newRecords(t)
	ctx := t.Context()
	for _, name := range []string{"work", "oss"} {
		r.do("added")(r.PutProfile(ctx, tui.ProfileSpec{Name: name}))
	}
	r.do("dir ~/src/** gets profile work")(r.AddRule(ctx, tui.Rule{Profile: "work", Dir: "~/src/**"}))
	r.do("gets profile work")(r.AddRule(ctx, tui.Rule{Profile: "work", Remote: "github.com/acme/*"}))
	r.do("gets profile work")(r.AddRule(ctx, tui.Rule{Profile: "work", Remote: "github.com/acme/*", Agent: "claude"}))
	r.refuse("gives the same to profile")(r.AddRule(ctx, tui.Rule{Profile: "oss", Dir: "~/src/**"}))
	r.refuse("")(r.AddRule(ctx, tui.Rule{Profile: "work"}))
	rules := r.profile("work").Rules
	if len(rules) != 3 || rules[0].Agent != "claude" || rules[1].Agent != "" || rules[1].Remote == "" || rules[2].Dir == "" {
		t.Errorf("they are not by strength: %+v", rules)
	}
	// Both hold in a clone below ~/src; the remote is stronger.
	dir := filepath.Join(r.home, "src", "api")
	r.git("init", "-q", dir)
	r.git("-C", dir, "remote", "add", "origin", "git@github.com:acme/api.git")
	for _, name := range []string{"~/src/api", "src/api", dir} {
		got, err := r.TestPath(ctx, name)
		if err != nil || got.Profile != "work" || got.Rule != rules[1].ID || len(got.Matched) != 2 || !strings.Contains(got.Matched[1], "dir ~/src/**") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if got, err := r.TestPath(ctx, "~"); err != nil || got.Profile != "" || got.Reason == "" {
		t.Errorf("where no rule matches: %+v, %v", got, err)
	}
	if _, err := r.TestPath(ctx, "~/nowhere"); err == nil {
		t.Error("a directory that is not there has a profile")
	}
	r.do("removed")(r.RemoveRule(ctx, rules[0].ID))
	r.refuse("none of that id")(r.RemoveRule(ctx, rules[0].ID))
	if left := r.other().All().Rules; len(left) != 2 {
		t.Errorf("the vault has %+v", left)
	}
}

func TestPolicy(t *testing.T) {
	r := newRecords(t)
	ctx := t.Context()
	r.do("added")(r.PutProfile(ctx, tui.ProfileSpec{Name: "work"}))
	line := tui.PolicySpec{Profile: "work", Effect: "ask", Provider: "linear", Methods: []string{"post"}}
	r.do("ask POST")(r.AddPolicy(ctx, line))
	r.refuse("says the same")(r.AddPolicy(ctx, line))
	r.refuse("")(r.AddPolicy(ctx, tui.PolicySpec{Profile: "work", Effect: "maybe"}))
	r.refuse("")(r.AddPolicy(ctx, tui.PolicySpec{Profile: "work", Effect: "deny", Provider: "no-such-provider"}))
	r.do("")(r.AddPolicy(ctx, tui.PolicySpec{Profile: "work", Effect: "deny", Host: "api.github.com"}))
	lines := r.profile("work").Policies
	if kept := r.other().Policies(); len(lines) != 2 || len(kept) != 2 || lines[0].ID != kept[0].ID || lines[0].Text != kept[0].Words {
		t.Errorf("%+v, and the vault has %+v", lines, kept)
	}
	text, err := r.TestPolicy(ctx, "work", "get", "https://api.github.com/user")
	if err != nil || !strings.HasPrefix(text, "deny: ") || !strings.Contains(text, "GET https://api.github.com/user") {
		t.Errorf("%q, %v", text, err)
	}
	r.refuse("https")(r.TestPolicy(ctx, "work", "GET", "api.github.com"))
	for _, l := range lines {
		r.do("removed")(r.RemovePolicy(ctx, l.ID))
	}
	if kept := r.other().Policies(); len(kept) != 0 {
		t.Errorf("the vault has %+v", kept)
	}
}

// TestPins: a directory whose remote was set to another's is told, with both.
func TestPins(t *testing.T) {
	r := newRecords(t)
	ctx := t.Context()
	for name, remote := range map[string]string{"work": "github.com/acme/*", "oss": "github.com/mallory/*"} {
		r.do("added")(r.PutProfile(ctx, tui.ProfileSpec{Name: name}))
		r.do("")(r.AddRule(ctx, tui.Rule{Profile: name, Remote: remote}))
	}
	dir := filepath.Join(r.home, "fork")
	r.git("init", "-q", dir)
	r.git("-C", dir, "remote", "add", "origin", "https://github.com/acme/fork")
	if _, err := r.other().Decide(ctx, broker.DecideSpec{Dir: dir, Environ: r.environ()}); err != nil {
		t.Fatal(err)
	}
	pin := func() tui.Pin {
		all, err := r.Profiles(ctx)
		if err != nil || len(all.Pins) != 1 {
			t.Fatalf("%+v, %v", all.Pins, err)
		}
		return all.Pins[0]
	}
	if p := pin(); p.Changed || p.Profile != "work" || p.Dir != dir || p.When.IsZero() {
		t.Errorf("as pinned: %+v", p)
	}
	r.git("-C", dir, "remote", "set-url", "origin", "https://github.com/mallory/fork")
	if p := pin(); !p.Changed || p.Was != "work by origin github.com/acme/fork" || p.Now != "oss by origin github.com/mallory/fork" {
		t.Errorf("changed: %+v", p)
	}
	r.do("forgotten")(r.RemovePin(ctx, dir))
	if pins, err := r.other().Pins(); err != nil || len(pins) != 0 {
		t.Errorf("the device has %+v, %v", pins, err)
	}
	r.refuse("")(r.RemovePin(ctx, dir))
}

func (r *records) vault() tui.Vault {
	r.Helper()
	v, err := r.Vault(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	return v
}

// TestDevices: a device is let in, and taken out again with what it knew.
func TestDevices(t *testing.T) {
	r := newRecords(t)
	ctx := t.Context()
	identity, err := vaultfile.NewIdentity("newone", nil)
	if err != nil {
		t.Fatal(err)
	}
	request, err := vaultfile.NewJoinRequest(identity, "newone", nil)
	if err != nil {
		t.Fatal(err)
	}
	broken := request.String()[:40] + "\n  " + request.String()[40:]
	read, err := r.ReadJoin(ctx, broken)
	if err != nil || read.Device != "newone" || read.Fingerprint != request.Fingerprint() {
		t.Errorf("read as %+v, %v", read, err)
	}
	if _, err := r.ReadJoin(ctx, broken[:60]); err == nil {
		t.Error("a request that was cut is read")
	}
	words, err := r.ApproveDevice(ctx, broken)
	if err != nil || len(strings.Fields(words)) != 6 {
		t.Fatalf("the words are %q, %v", words, err)
	}
	err = r.other().Edit(ctx, func(tx *vaultfile.Tx) error {
		if err := tx.PutProfile(profile.Profile{Name: "work"}); err != nil {
			return err
		}
		return tx.PutLogin(vaultfile.Login{Profile: "work", Provider: "github", Method: "token", Secrets: map[string]secret.Value{"token": secret.New("ghp_forthistestalone")}})
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Desk = desk.New(desk.Options{Paths: r.o.Paths, Getenv: r.o.Getenv, Environ: r.environ(), Dir: r.home})
	v := r.vault()
	i := slices.IndexFunc(v.Devices, func(d tui.Device) bool { return d.Name == "newone" })
	if len(v.Devices) != 2 || i < 0 || v.Devices[i].This || !v.Devices[1-i].This || v.Devices[i].AddedBy != "laptop" || v.Size == 0 || v.Git != "" {
		t.Fatalf("%+v", v)
	}
	r.do("secrets that it has read: 1")(r.RemoveDevice(ctx, v.Devices[i].ID))
	if _, err := r.other().FindDevice("newone"); err == nil {
		t.Error("the device is in the vault")
	}
	v = r.vault()
	if len(v.Checklist) != 1 || v.Checklist[0].Text != "newone could read login/work/github: kb login github -p work --replace" {
		t.Fatalf("the checklist is %+v", v.Checklist)
	}
	r.do("off the list")(r.Rotated(ctx, v.Checklist[0].Item))
	for _, d := range r.other().Checklist() {
		if len(d.Open) > 0 {
			t.Errorf("it is on the list: %+v", d)
		}
	}
	r.refuse("not on it")(r.Rotated(ctx, "login/work/github"))
	r.refuse("")(r.RemoveDevice(ctx, v.Devices[0].ID)) // this one
}

func TestSyncAndHistory(t *testing.T) {
	r := newRecords(t)
	ctx := t.Context()
	r.refuse("")(r.Sync(ctx)) // there is no repository
	if err := os.WriteFile(filepath.Join(r.home, ".gitconfig"), []byte("[user]\n\tname = t\n\temail = t@example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	origin := filepath.Join(r.home, "origin.git")
	r.git("init", "-q", "-b", "main", "--bare", origin)
	r.git("init", "-q", "-b", "main", r.o.Paths.Config)
	r.git("-C", r.o.Paths.Config, "remote", "add", "origin", origin)
	if v := r.vault(); v.GitState != tui.CheckWarning || !strings.HasPrefix(v.Git, "not committed") {
		t.Errorf("git is %q", v.Git)
	}
	r.do("pushed to origin main")(r.Sync(ctx))
	r.do("added")(r.PutProfile(ctx, tui.ProfileSpec{Name: "work"}))
	if v := r.vault(); !strings.HasPrefix(v.Git, "changes that are not committed") {
		t.Errorf("git is %q", v.Git)
	}
	r.do("sent + profile/work")(r.Sync(ctx))
	r.do("has it all already")(r.Sync(ctx))
	v := r.vault()
	if len(v.History) < 2 || v.History[0].What != "+ profile/work" || v.History[0].Who != "laptop" {
		t.Errorf("the history is %+v", v.History)
	}
}
