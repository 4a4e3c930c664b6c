// Package control is how a person's kb speaks to a running session: what it is
// doing, what waits for an answer, approve, deny, stop.
//
// # The socket
//
// Each session listens on a socket in DIR, a folder of mode 0700 that is apart
// from what its child is shown. Its name is ID-PID-START.sock: PID is the process
// of kb exec and START when that began, so that a socket left by a session that
// was killed is told from one in use, also where its process id is another's by
// now. [List] reads the folder, [WatchAll] follows all sessions in it.
//
// # The protocol
//
// One request a connection: the client writes a JSON object on a line, the
// session answers with one. A watch is answered with one at once and one after
// each change, at most [watchEvery] apart, until either end closes. [Client] and
// [Serve] are both ends. No message holds a secret, in either direction.
//
// # Who may speak
//
// Processes of the same user only, and none that descends from a session's
// child, of whatever session: an agent must not approve its own requests. The
// session looks at who connects, and the client at whose socket it is, by the
// process that the kernel names (SO_PEERCRED, LOCAL_PEERPID). Refused is
//
//   - who has a session's kb exec among its ancestors: by the names in DIR, and,
//     as an agent can rename those, by what the ancestor runs. On Linux kb exec is
//     a subreaper, so that orphans of its session end under it;
//   - on Linux, who may gain no privileges (no_new_privs) where this process
//     may: at isolation "hardened" each process of a session has that, and none
//     gets rid of it, not by leaving the tree, nor after the session's end;
//   - who has KB_SESSION in its environment, or in an ancestor's, as far as these
//     can be read;
//   - who ended, or whose ancestors could not be made out.
//
// It guards against accident and plain attempts. An agent at "hardened" can have
// another program of the user (a tmux server, systemd) start a process that is
// none of its own. docs/threat-model.md says so.
package control

import (
	"context"
	"errors"
	"time"
)

// Status is a session, as it tells of itself. Texts in it are cleaned
// (kb/internal/plain) by whoever makes it, and again by whoever shows it.
type Status struct {
	ID        string    `json:"id"`
	Profile   string    `json:"profile"` // as Broker.Show calls it
	Also      []string  `json:"also,omitempty"`
	Agent     string    `json:"agent"` // base name of the command
	Dir       string    `json:"dir"`
	Remote    string    `json:"remote,omitempty"` // the primary one: github.com/acme/api
	Reason    string    `json:"reason,omitempty"` // why the profile is this one
	Isolation string    `json:"isolation"`        // the tier that was reached
	Proxy     string    `json:"proxy,omitempty"`  // address of its proxy
	PID       int       `json:"pid"`              // of kb exec
	Child     int       `json:"child,omitempty"`  // of the agent; 0 until it runs
	Started   time.Time `json:"started,omitzero"`
	Requests  uint64    `json:"requests"` // all
	Injected  uint64    `json:"injected"` // with a credential
	Denied    uint64    `json:"denied"`   // refused
	Hosts     []Host    `json:"hosts,omitempty"`
	Waiting   []Request `json:"waiting,omitempty"`  // oldest first
	Unlisted  int       `json:"unlisted,omitempty"` // that wait too, beyond what a message holds
}

// Host is a host that the session has a login for.
type Host struct {
	Host     string `json:"host"`
	Provider string `json:"provider"`
	Profile  string `json:"profile"`
}

// Request is a request that waits for a person. Its body is not described
// beyond its size and type.
type Request struct {
	ID         string    `json:"id"` // six hex digits, unique among the sessions of a device
	Session    string    `json:"session"`
	Profile    string    `json:"profile"`
	Provider   string    `json:"provider"`
	Login      string    `json:"login,omitempty"` // account, else the --as name
	Method     string    `json:"method"`
	Host       string    `json:"host"`
	Port       uint16    `json:"port"`
	Path       string    `json:"path"` // the one that is sent: no query, secret segments as *
	Repository string    `json:"repository,omitempty"`
	Git        string    `json:"git,omitempty"` // "read" or "write" for git's own requests
	Mint       bool      `json:"mint,omitempty"`
	Websocket  bool      `json:"websocket,omitempty"` // opens one: what goes over it is not read, and nobody is asked
	Policy     string    `json:"policy"`              // id of the line that asks
	Rule       string    `json:"rule"`                // that line in words: "ask POST at linear"
	Agent      string    `json:"agent"`
	Dir        string    `json:"dir"`
	Body       int64     `json:"body"` // bytes; -1 when the client does not say
	Type       string    `json:"type,omitempty"`
	Asked      time.Time `json:"asked"`
	Deadline   time.Time `json:"deadline"` // no answer until then is a denial
}

// Answer is what a person says to a request.
type Answer string

// Answers. "Always" is none of them: it is a policy line that whoever answers
// writes into the vault, and [Once].
const (
	Once        Answer = "once"         // this request only
	Session     Answer = "session"      // and all like it (same line, login, method and host) until the session ends
	Deny        Answer = "deny"         // this request only
	DenySession Answer = "deny-session" // and all like it until the session ends
)

// Errors of speaking to a session.
var (
	ErrGone      = errors.New("session has ended")
	ErrNoRequest = errors.New("no such request waits")
	ErrRefused   = errors.New("a process of a session may not control sessions")
	// ErrSilent says that a session does not answer: it is stopped (ctrl+z), or
	// the machine is busy.
	ErrSilent = errors.New("session does not answer")
	// ErrBusy says that a session has more connections than it takes.
	ErrBusy = errors.New("session is being spoken to by too many")
	// ErrUnknown says that no session has the id.
	ErrUnknown = errors.New("no such session")
)

// Handler is the session's side.
type Handler interface {
	// Status is the session by now. It does not block.
	Status() Status
	// Changed is closed at the next change of Status. It is taken before
	// Status is called, so that no change is missed.
	Changed() <-chan struct{}
	// Answer answers a waiting request, or returns ErrNoRequest.
	Answer(ctx context.Context, id string, a Answer) error
	// Stop has the session end: its child is asked to, then made to.
	Stop(ctx context.Context) error
}
