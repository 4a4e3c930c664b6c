//go:build race

package testkit

// RaceEnabled reports whether the race detector is on. Under it everything takes some
// ten times as long; what it has nothing to say about is left to the plain run.
const RaceEnabled = true
