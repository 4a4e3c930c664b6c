// Package vaultrepo is the git repository that a vault lies in: what it has of
// the vault, and how the vault is committed, joined with the remote's and
// pushed. It deals in paths and bytes; what is in a vault it does not know.
//
// # Finding it
//
// [Find] follows the vault's symbolic links and walks up to the next .git,
// directory or file, so that worktrees, submodules and stow are the same to it.
// Where there is none above, it looks where yadm and the usual recipes for a
// bare dotfiles repository keep theirs, and takes one that tracks the vault.
// Any other place is named by the device setting git_dir.
//
// # What runs
//
// An agent can write a repository's configuration, attributes and hooks, and
// git runs what they name. So nothing here uses what the repository says to
// run:
//
//   - Every git has its absolute path, an environment of its own, and -c flags
//     against hooks, file system monitors and ext remotes. None but those that
//     are for the network may use any transport: a partial clone cannot be
//     made to fetch.
//   - Objects, trees and commits are made and read in a quarantine: a git
//     directory made for the purpose, without a configuration, that borrows the
//     repository's object store. Transfers run there too, with the settings of
//     the user's and the system's files and, of the repository's own, only its
//     URLs.
//   - A commit is made of the vault's bytes, not by git commit: no hook, no
//     filter, no signing program, and no other file comes along.
//   - Where other files must change with the remote's, git read-tree writes
//     them with the repository's own filters switched off; if one would have
//     been used, [Repo.Join] stops before that.
//
// # go-git and git
//
// The index, the history and old versions are read by go-git where it can open
// the repository, without starting a process. What it cannot (SHA-256, reftable,
// extensions.worktreeConfig, a split index) the git program answers, and all
// that writes or transfers is the git program's.
package vaultrepo
