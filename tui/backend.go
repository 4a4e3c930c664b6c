package tui

import (
	"context"
	"os/exec"
	"time"

	"kb/internal/audit"
	"kb/internal/secret"
)

// Backend is what the dashboard looks at and acts on. Its methods may take their
// time and are called from commands only; they honour ctx. Errors carry their fix
// (kb/internal/hint).
type Backend interface {
	// Standing says what there is, and opens the vault if it can be opened
	// without a person. It may be called again at any time.
	Standing(ctx context.Context) (Standing, error)
	// Watch calls changed whenever something may be different, until ctx ends:
	// sessions, what waits, the vault, tokens. It calls at most some ten times a
	// second. An error is a fault (see [Fault]), and ends the dashboard.
	Watch(ctx context.Context, changed func(Change)) error

	Sessions(ctx context.Context) ([]Session, error)
	StopSession(ctx context.Context, id string) error
	// Answer answers a waiting request. Always writes the line first that
	// AlwaysLine shows.
	Answer(ctx context.Context, r Request, a Answer) error
	AlwaysLine(ctx context.Context, r Request) (string, error)

	Logins(ctx context.Context) ([]Login, error)
	// Refresh gets new tokens now: of one login, or of all where k is zero.
	Refresh(ctx context.Context, k LoginKey) (string, error)
	// LogoutPlan says in one or more sentences what Logout would do.
	LogoutPlan(ctx context.Context, k LoginKey, everywhere bool) (string, error)
	Logout(ctx context.Context, k LoginKey, everywhere bool) (string, error)
	// LoginForm says what a person has to give for a login by a method of a
	// provider: the fields of a key, or the OAuth client that is missing.
	LoginForm(ctx context.Context, r LoginRequest) (LoginForm, error)
	// Login makes a login. Steps of a login that a person grants in a browser are
	// told to at; it returns when the login is kept, or ctx is done.
	Login(ctx context.Context, r LoginRequest, at LoginScreen) (string, error)
	// Imports lists the logins of other programs that can be taken over.
	Imports(ctx context.Context) ([]Importable, error)
	// Import takes one over. Of one that moves, a person has agreed.
	Import(ctx context.Context, r ImportRequest) (string, error)

	Profiles(ctx context.Context) (Profiles, error)
	PutProfile(ctx context.Context, p ProfileSpec) (string, error) // Old is "" for a new one
	RemoveProfile(ctx context.Context, name string) (string, error)
	DefaultProfile(ctx context.Context, name string) (string, error) // "" for none
	AddRule(ctx context.Context, r Rule) (string, error)
	RemoveRule(ctx context.Context, id string) (string, error)
	RemovePin(ctx context.Context, dir string) (string, error)
	AddPolicy(ctx context.Context, p PolicySpec) (string, error)
	RemovePolicy(ctx context.Context, id string) (string, error)
	// TestPath says which profile a directory gets, and why.
	TestPath(ctx context.Context, dir string) (Resolution, error)
	// TestPolicy says what the policy of a profile makes of a request.
	TestPolicy(ctx context.Context, profile, method, url string) (string, error)

	Providers(ctx context.Context) ([]Provider, error)
	// LintProvider checks a definition of the user's own; nothing wrong is no line.
	LintProvider(ctx context.Context, vault, name string) ([]string, error)
	RemoveProvider(ctx context.Context, vault, name string) (string, error)
	// OpenPage opens a vendor's page in the browser.
	OpenPage(ctx context.Context, url string) error

	// AuditTail is the last n events that f takes, by time; AuditBefore is the n
	// before an event that AuditTail or AuditBefore gave.
	AuditTail(ctx context.Context, n int, f audit.Filter) ([]audit.Event, error)
	AuditBefore(ctx context.Context, e audit.Event, n int, f audit.Filter) ([]audit.Event, error)
	// AuditFollow hands over events as they are written, in batches, some
	// twenty a second at most, until ctx ends. The first batch is empty and says that
	// every event written from then on will be given.
	AuditFollow(ctx context.Context, events func([]audit.Event)) error
	AuditVerify(ctx context.Context) (string, error)
	// AuditExport writes what f takes to a new file and returns its path.
	AuditExport(ctx context.Context, f audit.Filter) (string, error)

	// Doctor runs every check and tells of each when it begins and when it ends.
	Doctor(ctx context.Context, found func(Check)) error

	Vault(ctx context.Context) (Vault, error)
	Unlock(ctx context.Context, passphrase secret.Value, lifetime time.Duration) (string, error)
	Lock(ctx context.Context) (string, error)
	Sync(ctx context.Context) (string, error)
	RemoveDevice(ctx context.Context, id string) (string, error)
	// ReadJoin reads a join request that another device printed, and returns what a
	// person has to compare; ApproveDevice lets that device in, and returns the
	// words to type there.
	ReadJoin(ctx context.Context, request string) (JoinRequest, error)
	ApproveDevice(ctx context.Context, request string) (string, error)
	Rotated(ctx context.Context, item string) (string, error)
	// Init makes this device's identity and a vault.
	Init(ctx context.Context, v NewVault) (string, error)

	// Command is kb itself with arguments, for what speaks with a person on the
	// terminal by itself: an editor, a key that is printed once. The dashboard
	// leaves the screen to it.
	Command(args ...string) *exec.Cmd
}

// Change says what may be different.
type Change uint8

// Changes.
const (
	ChangedSessions Change = 1 << iota // sessions, their counts, what waits
	ChangedVault                       // the vault's records, devices, git
	ChangedTokens                      // tokens, pins, settings of this device
)

// Answer is what a person says to a waiting request.
type Answer string

// Answers.
const (
	Once        Answer = "once"
	ForSession  Answer = "session"
	Always      Answer = "always"
	Deny        Answer = "deny"
	DenySession Answer = "deny-session"
)

// LoginScreen is told of a login's steps. Its methods may be called from any
// goroutine.
type LoginScreen interface {
	// Step shows what a person has to do now, in place of what was shown before.
	Step(LoginStep)
	// Pasted returns the address that a person pasted, where the browser is on
	// another machine. It blocks until there is one, or ctx is done. The address
	// has a code in it, which is as good as a key for its minute.
	Pasted(ctx context.Context) (secret.Value, error)
}
