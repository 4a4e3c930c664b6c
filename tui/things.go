package tui

import (
	"time"

	"kb/internal/secret"
)

// Standing is what there is on this device.
type Standing struct {
	State  VaultState
	Reason string // why it is locked or refused: one sentence
	Fix    string // the command that mends it
	Path   string // of the vault
	Device string // name
	// Wrapped: the identity is wrapped by a passphrase, so that it can be locked.
	Wrapped bool
	Locks   time.Time // when it locks by itself; zero for never
	// Of the directory that the dashboard was started in.
	Dir     string
	Profile string // "" for none
	Why     string // the reason, or why there is none
	// Of git in that directory, for a first profile; "" where nobody knows.
	GitName, GitEmail string
	Remote            string // of the repository, as rules name it: github.com/acme/api
	// Attention is what a person should see to, each with its command.
	Attention []string
}

// VaultState is whether there is a vault that can be used.
type VaultState uint8

// States of the vault.
const (
	VaultUnknown VaultState = iota
	VaultNone               // this device has none: first run
	VaultLocked             // its identity is wrapped, and nobody unlocked it
	VaultRefused            // it is there and cannot be used; Reason and Fix say why
	VaultOpen
)

// Session is one kb exec.
type Session struct {
	ID        string
	Profile   string
	Also      []string
	Agent     string
	Dir       string
	Remote    string
	Reason    string // why the profile is this one
	Isolation string
	Proxy     string
	PID       int
	Child     int
	Started   time.Time
	Crashed   bool   // its process is gone and it did not end in good order
	Trouble   string // why it cannot be spoken to; "" where it can
	Requests  uint64
	Injected  uint64
	Denied    uint64
	Hosts     []Host
	Waiting   []Request
}

// Host is a host that a session has a login for.
type Host struct{ Host, Provider, Profile string }

// Request is a request that waits for a person.
type Request struct {
	ID         string
	Session    string
	Profile    string
	Provider   string
	Login      string
	Method     string
	Host       string
	Port       uint16
	Path       string
	Repository string
	Git        string // "read" or "write" for git's own
	Mint       bool   // its answer is itself a credential
	Websocket  bool   // opens one, which nobody reads
	Policy     string // id of the policy line that asks
	Rule       string // that line in words
	Agent      string
	Dir        string
	Body       int64 // bytes; -1 when the client does not say
	Type       string
	Asked      time.Time
	Deadline   time.Time
}

// Same reports whether two requests are one and say the same. Times are compared as
// such: their representation may differ from one answer of the session to the next.
func (r Request) Same(other Request) bool {
	if !r.Asked.Equal(other.Asked) || !r.Deadline.Equal(other.Deadline) {
		return false
	}
	other.Asked, other.Deadline = r.Asked, r.Deadline
	return r == other
}

// LoginKey names a login.
type LoginKey struct{ Profile, Provider, As string }

// Login is a login and how it stands.
type Login struct {
	LoginKey
	Vault      string // that it is in
	Account    string
	Method     string
	Kind       string // the method in words: "api key", "oauth code"
	State      string // ok, expiring, refreshing, offline, needs login, unknown
	Reason     string
	Fix        string // the command that mends it
	Since      time.Time
	Expires    time.Time
	Next       time.Time // next refresh; zero for none
	Scopes     []string
	DeviceOnly bool
	Missing    bool
	OAuth      bool     // a person grants it in a browser
	Renews     bool     // it has tokens that end, and that Refresh gets anew
	Import     string   // the program that it is taken over from (kb import); else ""
	Disagreed  bool     // it has references that nobody on this device has agreed to
	Refs       []string // "token from op://Work/linear/key", by field
	Base       string
	Client     string
	History    []Past // newest first
}

// Past is something that happened.
type Past struct {
	When time.Time
	Who  string // device; "" where that goes without saying
	What string
}

// LoginRequest is a login to be made.
type LoginRequest struct {
	LoginKey
	Method   string // "" for the definition's first that serves
	Way      string // how a person grants it: "code", in a browser here, or "device"; "" for what serves here
	Base     string
	Scopes   []string // nil for the definition's
	Replace  bool
	NoVerify bool                    // the provider is not asked whose it is
	Sync     string                  // where the refresh token is kept: "vault", "device", "" as the definition says
	Values   map[string]secret.Value // of LoginForm's fields, by name
	Refs     map[string]string       // references in place of values: "op://Work/linear/key"
}

// LoginForm is what a person has to give for a login.
type LoginForm struct {
	// Request is what was asked for, with what is known filled in: the method, and
	// what the login that is there was made with.
	Request  LoginRequest
	Title    string  // what the provider is called, and the vendor the method
	Note     string  // what a person should know before; may be empty
	Page     string  // where the vendor lets one make the key or the client
	Redirect string  // what to enter there as redirect URI of an own client
	Ways     []Way   // the ways in, the one that is meant first
	Base     string  // the service's base URL is needed: an example of one
	Fields   []Field // what is still needed; none: Login can begin
	Own      []Field // of an OAuth client of one's own, where one can be given and need not be
	Exists   bool    // there is such a login: making it replaces it
	Grant    bool    // a person grants it in a browser
}

// Way is a way to log in at a provider.
type Way struct {
	Method string
	Way    string // as LoginRequest's
	Text   string // "personal access token", "OAuth app, in a browser"
	Import string // it is not made but taken over from that program; else ""
}

// Choice is one of several.
type Choice struct{ Value, Text string }

// Field is a value to be typed.
type Field struct {
	Name     string
	Label    string
	Help     string // what to enter, where it is found
	Secret   bool   // masked
	Optional bool
}

// LoginStep is what a person has to do now for a login that is granted in a
// browser.
type LoginStep struct {
	URL    string
	Code   string   // to be typed at URL; "" for none
	QR     []string // URL as a picture of half blocks; nil for none
	Opened bool     // the browser was opened at URL
	Paste  bool     // the address that the browser ends at may be pasted here
	Text   string   // what is waited for
	// Problem is why what was pasted did not do; "" where nothing is wrong.
	Problem string
	Until   time.Time // when nobody waits any more; zero where nobody says
}

// Importable is a login of another program.
type Importable struct {
	Source, Title, Path, Provider, Account string
	Moves                                  bool   // that program is left with a placeholder
	Off                                    string // why it cannot be taken over: "no login there"
}

// ImportRequest is a login to be taken over.
type ImportRequest struct {
	Source, Profile, As string
	Replace             bool
}

// Profiles is what the screen of that name shows.
type Profiles struct {
	Profiles []Profile
	Pins     []Pin
	Default  string
}

// Profile is an identity with all that belongs to it.
type Profile struct {
	ProfileSpec
	Vault    string
	Default  bool
	Expect   map[string]string
	Rules    []Rule
	Logins   int
	Policies []Policy
	LastUsed time.Time
}

// ProfileSpec is what a person enters of a profile. Old is its name before; ""
// makes a new one.
type ProfileSpec struct {
	Old, Name                     string
	GitName, GitEmail, SigningKey string
	Also                          []string
	Egress                        string // "open" or "listed"
}

// Rule selects a profile.
type Rule struct{ ID, Profile, Remote, Dir, User, Machine, Agent string }

// Policy is a line of a profile's policy.
type Policy struct {
	ID   string
	Text string // "ask POST at linear"
	PolicySpec
}

// PolicySpec is what a person enters of a policy line.
type PolicySpec struct {
	Profile, Effect string // allow, deny, ask, limit
	PerMinute       int
	Provider        string
	Methods         []string
	Host, Path      string
	Repository, Git string
	Mint            bool
}

// Pin is a remembered decision.
type Pin struct {
	Dir, Profile string
	When         time.Time
	Changed      bool // its remotes are others now
	Was, Now     string
}

// Resolution is which profile a directory gets.
type Resolution struct {
	Dir, Profile, Rule, Reason string // Profile "" for none
	Matched                    []string
	Remotes                    []string
}

// Provider is a service and how a credential goes on its requests.
type Provider struct {
	Name, Title string
	Kinds       []string // ways in, in words
	Hosts       []string
	Logins      int
	Vault       string   // that has the definition; "" for a built-in one
	Source      string   // "built in", or "vault main"
	Injects     []string // "Authorization: Bearer <token>  on api.github.com"
	Env         []string // variables that hold a placeholder
	Scopes      []string
	Pages       []string // where keys and clients are made, by way in: "token  https://…"
	Mints       []string // requests that return credentials, denied unless a policy allows them
	UsedBy      []string // logins, as "work (bot)"
	Docs, Note  string
	Unverified  bool
	Replaces    string
}

// Check is one of the doctor's.
type Check struct {
	Name  string
	State CheckState
	Line  string // what was found, one line
	Why   string // what it means; "" where all is well
	Fix   string // the command that mends it
}

// CheckState is how a check stands.
type CheckState uint8

// States of a check.
const (
	CheckRunning CheckState = iota
	CheckOK
	CheckWarning
	CheckFailed
	CheckSkipped // it does not apply here; Line says why
)

// Vault is what the screen of that name shows, of the default vault.
type Vault struct {
	Name, Path string
	Size       int64 // bytes
	ID         string
	Others     []string // names of this device's other vaults
	Unlocked   string   // what opens it: "identity in a file", "passphrase, locks in 7h"
	Git        string   // one line: "clean, level with origin/main"; "" without a repository
	GitState   CheckState
	Devices    []Device
	History    []Past
	Checklist  []Rotate // what to rotate after devices were removed
	Conflicts  []string
}

// Device is a machine, a job or a key on paper that can open the vault.
type Device struct {
	ID, Name, Kind, Recipient string
	Added                     time.Time
	AddedBy                   string
	This                      bool
}

// Rotate is a secret that a removed device could read.
type Rotate struct{ Item, Text string }

// JoinRequest is a device that asks to be let in.
type JoinRequest struct{ Device, Fingerprint string }

// NewVault is what a first run makes.
type NewVault struct {
	Path       string // "" for the config folder
	Device     string // "" for the host's name
	Passphrase secret.Value
}
