package profile

// Profile is an identity: who commits, what signs, and how far its sessions
// may reach. Its logins live in the vault beside it and name it.
type Profile struct {
	Name       string
	GitName    string            // user.name of the child's git; empty leaves git's own
	GitEmail   string            // user.email, likewise
	SigningKey string            // user.signingkey, likewise
	Also       []string          // profiles that its sessions may use as well
	Egress     string            // "open" (default, also "") or "listed": hosts without a rule are refused
	Expect     map[string]string // provider -> account name that a login there must answer as
}

// Rule selects a profile when every condition that it states holds. A rule
// states at least one; an empty field is no condition.
type Rule struct {
	ID      string
	Profile string
	Remote  string // pattern on the normal form of a remote: github.com/acme/*, gitlab.acme.dev/**
	Dir     string // pattern on the real path of the directory: ~/work/**
	User    string // login name of the user who runs kb
	Machine string // host name of the machine, without its domain
	Agent   string // base name of the program that kb exec starts
}

// Query is what there is to know about where and as whom an agent starts.
type Query struct {
	Workspace Workspace
	User      string
	Machine   string
	Agent     string
	Home      string // what ~ in a directory pattern means
	Explicit  string // profile named by the user (-p); wins over every rule
	Default   string // profile when nothing matches; empty means refuse
}

// Match is the answer of Resolve, with the words that explain it. The same
// words are printed by kb which, the audit and the dashboard.
type Match struct {
	Profile string
	Rule    *Rule  // the deciding rule; nil when Explicit or Default decided
	Reason  string // one sentence: "remote github.com/acme/api matches rule r3 (github.com/acme/*)"
	Matched []Rule // every rule whose conditions all hold, strongest first
	Remote  string // normal form of the remote that decided, if one did
}
