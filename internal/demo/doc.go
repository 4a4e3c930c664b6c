// Package demo shows what kb does, in one command: no account, no network,
// nothing left behind.
//
// [Run] makes a vault with two profiles in a temporary home directory, two git
// repositories, and a forge (an HTTPS API and a git server) under names that
// end in .example. It runs a small agent in each repository and shows side by
// side what the agent saw, what the forge saw, and what the audit says. Every
// value that it prints was measured in that run; where one is not what kb
// promises, the run fails and says which.
//
// # What is real
//
// The vault, the decisions, the sessions, the proxy, the supervisor and the
// audit are those of kb exec, called as it calls them. The agent's commands are
// child processes: git, and kb's own binary as a small API client ([Agent]).
//
// # What is not
//
// The forge runs inside this process (forge.go, gitserver.go), behind a
// certificate authority of its own (network.go). The broker reaches it because
// [broker.Options] can name a resolver, roots and a dialler. This package is the
// only part of the installed program that sets them; seams_test.go says so.
package demo
