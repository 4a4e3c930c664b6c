//go:build race

package vaultfile

// raceEnabled: under the race detector laws hold over fewer histories; the
// plain run has them all.
const raceEnabled = true
