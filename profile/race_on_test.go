//go:build race

package profile

// raceEnabled: under the race detector fewer configurations are compared with
// git's reading; the plain run has them all.
const raceEnabled = true
