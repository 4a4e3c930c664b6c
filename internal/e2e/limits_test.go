package e2e

import "time"

const (
	liveLimit  = time.Second      // within it a change must take effect
	eventually = 10 * time.Second // for a program to do something small
)
