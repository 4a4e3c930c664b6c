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
// # What it leaves out
//
// It knows no vault, no clock and no environment of its own: the caller passes
// all of it in. Pins, which remember a decision on a device, are the broker's.
package profile
