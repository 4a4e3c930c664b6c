package tui

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"kb/internal/audit"
	"kb/internal/secret"
)

// fake is a backend that tells what a test put into it, and notes what it is
// asked to do.
type fake struct {
	standing  Standing
	sessions  []Session
	logins    []Login
	profiles  Profiles
	providers []Provider
	vault     Vault
	events    []audit.Event // by time
	checks    []Check
	form      LoginForm
	imports   []Importable
	lint      []string
	steps     []LoginStep   // that Login goes through
	block     chan struct{} // Login waits for it, where it is not nil
	takes     bool          // Login waits for a pasted address
	pasted    secret.Value  // that it got
	asked     []LoginRequest
	forget    bool // Login notes no request

	mu   sync.Mutex
	fail map[string]error // by what is done
	did  []string         // "stop 7f3a", "answer a1 once"
}

var errFake = errors.New("the fake was told to fail")

// do notes what is done, and fails where a test wants that.
func (f *fake) do(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.did = append(f.did, what)
	return f.fail[what]
}

// done lists what was done.
func (f *fake) done() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.did...)
}

func (f *fake) say(what string) (string, error) { return what, f.do(what) }

func (f *fake) Standing(context.Context) (Standing, error) { return f.standing, nil }
func (f *fake) Watch(ctx context.Context, _ func(Change)) error {
	<-ctx.Done()
	return nil
}

func (f *fake) Sessions(context.Context) ([]Session, error)    { return f.sessions, f.fail["sessions"] }
func (f *fake) StopSession(_ context.Context, id string) error { return f.do("stop " + id) }
func (f *fake) Answer(_ context.Context, r Request, a Answer) error {
	return f.do("answer " + r.ID + " " + string(a))
}

func (f *fake) AlwaysLine(_ context.Context, r Request) (string, error) {
	return "allow " + r.Method + " at " + r.Provider + ", path " + r.Path, nil
}
func (f *fake) Logins(context.Context) ([]Login, error) { return f.logins, f.fail["logins"] }
func (f *fake) Refresh(_ context.Context, k LoginKey) (string, error) {
	return f.say("refresh " + k.Profile + "/" + k.Provider)
}

func (f *fake) LogoutPlan(_ context.Context, k LoginKey, everywhere bool) (string, error) {
	if everywhere {
		return k.Provider + " is logged out on every device.", nil
	}
	return "The tokens of " + k.Provider + " on this device are revoked.", nil
}

func (f *fake) Logout(_ context.Context, k LoginKey, everywhere bool) (string, error) {
	if everywhere {
		return f.say("logout everywhere " + k.Profile + "/" + k.Provider)
	}
	return f.say("logout " + k.Profile + "/" + k.Provider)
}

func (f *fake) LoginForm(context.Context, LoginRequest) (LoginForm, error) {
	return f.form, f.fail["form"]
}

func (f *fake) Login(ctx context.Context, r LoginRequest, at LoginScreen) (string, error) {
	for _, s := range f.steps {
		at.Step(s)
	}
	if f.takes {
		var err error
		if f.pasted, err = at.Pasted(ctx); err != nil {
			return "", err
		}
	}
	if f.block != nil {
		select {
		case <-f.block:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if !f.forget {
		f.mu.Lock()
		f.asked = append(f.asked, r)
		f.mu.Unlock()
	}
	return f.say("login " + r.Profile + "/" + r.Provider)
}
func (f *fake) Imports(context.Context) ([]Importable, error) { return f.imports, nil }
func (f *fake) Import(_ context.Context, r ImportRequest) (string, error) {
	return f.say("import " + r.Source + " " + r.Profile)
}
func (f *fake) Profiles(context.Context) (Profiles, error) { return f.profiles, f.fail["profiles"] }
func (f *fake) PutProfile(_ context.Context, p ProfileSpec) (string, error) {
	return f.say("put profile " + p.Old + ">" + p.Name)
}

func (f *fake) RemoveProfile(_ context.Context, n string) (string, error) {
	return f.say("rm profile " + n)
}

func (f *fake) DefaultProfile(_ context.Context, n string) (string, error) {
	return f.say("default " + n)
}

func (f *fake) AddRule(_ context.Context, r Rule) (string, error) {
	return f.say("add rule " + r.Profile + " " + r.Remote + r.Dir)
}

func (f *fake) RemoveRule(_ context.Context, id string) (string, error) {
	return f.say("rm rule " + id)
}

func (f *fake) RemovePin(_ context.Context, dir string) (string, error) {
	return f.say("rm pin " + dir)
}

func (f *fake) AddPolicy(_ context.Context, p PolicySpec) (string, error) {
	return f.say("add policy " + p.Profile + " " + p.Effect)
}

func (f *fake) RemovePolicy(_ context.Context, id string) (string, error) {
	return f.say("rm policy " + id)
}

func (f *fake) TestPath(_ context.Context, dir string) (Resolution, error) {
	return Resolution{Dir: dir, Profile: "work", Rule: "r1", Reason: "remote github.com/acme/api matches rule r1"}, f.fail["test path"]
}

func (f *fake) TestPolicy(_ context.Context, profile, method, url string) (string, error) {
	return "allowed: no line of " + profile + " is about " + method + " " + url, nil
}

func (f *fake) Providers(context.Context) ([]Provider, error) {
	return f.providers, f.fail["providers"]
}

func (f *fake) LintProvider(_ context.Context, _, n string) ([]string, error) {
	return f.lint, f.do("lint " + n)
}

func (f *fake) RemoveProvider(_ context.Context, _, n string) (string, error) {
	return f.say("rm provider " + n)
}
func (f *fake) OpenPage(_ context.Context, url string) error { return f.do("open " + url) }
func (f *fake) AuditTail(_ context.Context, n int, flt audit.Filter) ([]audit.Event, error) {
	return f.lastBefore(len(f.events), n, flt), f.fail["audit"]
}

func (f *fake) AuditBefore(_ context.Context, e audit.Event, n int, flt audit.Filter) ([]audit.Event, error) {
	for i := range f.events {
		if f.events[i].Session == e.Session && f.events[i].Seq == e.Seq {
			return f.lastBefore(i, n, flt), nil
		}
	}
	return nil, nil
}

func (f *fake) lastBefore(end, n int, flt audit.Filter) []audit.Event {
	var found []audit.Event
	for i := end - 1; i >= 0 && len(found) < n; i-- {
		if flt.Match(&f.events[i]) {
			found = append(found, f.events[i])
		}
	}
	slices.Reverse(found)
	return found
}

func (f *fake) AuditFollow(ctx context.Context, _ func([]audit.Event)) error {
	<-ctx.Done()
	return nil
}
func (f *fake) AuditVerify(context.Context) (string, error)               { return f.say("verify") }
func (f *fake) AuditExport(context.Context, audit.Filter) (string, error) { return f.say("export") }
func (f *fake) Doctor(_ context.Context, found func(Check)) error {
	for _, c := range f.checks {
		found(c)
	}
	return nil
}
func (f *fake) Vault(context.Context) (Vault, error) { return f.vault, f.fail["vault"] }
func (f *fake) Unlock(_ context.Context, p secret.Value, _ time.Duration) (string, error) {
	return f.say("unlock")
}
func (f *fake) Lock(context.Context) (string, error) { return f.say("lock") }
func (f *fake) Sync(context.Context) (string, error) { return f.say("sync") }
func (f *fake) RemoveDevice(_ context.Context, id string) (string, error) {
	return f.say("rm device " + id)
}

func (f *fake) ReadJoin(context.Context, string) (JoinRequest, error) {
	return JoinRequest{Device: "laptop", Fingerprint: "lusab babad gutih tugad"}, f.fail["read join"]
}

func (f *fake) ApproveDevice(context.Context, string) (string, error) { return f.say("approve device") }

func (f *fake) Rotated(_ context.Context, item string) (string, error) {
	return f.say("rotated " + item)
}

func (f *fake) Init(_ context.Context, v NewVault) (string, error) { return f.say("init " + v.Path) }

func (f *fake) Command(args ...string) *exec.Cmd {
	_ = f.do("kb " + strings.Join(args, " "))
	return exec.Command("true", args...)
}
