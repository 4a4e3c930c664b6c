// Package profile says what identities are and which one a directory gets.
//
// A [Profile] is an identity. A [Rule] maps where an agent stands (git remote,
// directory, user, machine, agent name) to a profile. [ReadWorkspace] finds out
// what a directory is by asking git, and [Resolve] decides, always with the
// reason, and always the same way:
//
//  1. a profile named by the user wins;
//  2. else, of the rules whose conditions all hold, more conditions beat fewer,
//     a remote beats a directory, a longer pattern beats a shorter one;
//  3. a tie between two profiles is an error that names both;
//  4. else the default profile, or nobody.
//
// # Remotes
//
// Rules know a remote by its normal form, host[:port]/path, in which every
// spelling of one repository is the same text: see [NormalRemote]. Only one
// remote of a repository decides, the primary one ([Workspace.Primary]): where
// the current branch pushes, so that a fork resolves as itself.
//
// # Patterns
//
// In a pattern * stands for any text without a slash, ? for one character,
// [a-z] for one of a set, and ** between slashes for any number of path
// segments, none included. A backslash takes the next character literally.
//
// A remote pattern covers the whole normal form. Upper and lower case are the
// same on github.com, gitlab.com and bitbucket.org, where the servers think so
// too, and differ elsewhere.
//
// A directory pattern starts with / or ~/ and is held against the real path of
// the directory and, inside a repository, of each directory up to the worktree's
// root: a rule for a repository holds in its subdirectories. The part before
// the first wildcard may go through symbolic links. ~/oss/** covers ~/oss itself
// and all below it.
//
// Which of two patterns is longer is counted in the characters that are not
// wildcards; of two that are equal there, the one with fewer ** is the longer.
//
// # Requests
//
// A running session asks another question: whose is the repository that a
// request names? [CompileRemotes] prepares the answer, [Remotes.Claim] gives it.
//
// # What it leaves out
//
// It knows no vault, no clock and no environment of its own: the caller passes
// all of it in. Pins, which remember a decision on a device, are the broker's.
// Git's pre-2005 files .git/remotes and .git/branches are not read.
package profile
