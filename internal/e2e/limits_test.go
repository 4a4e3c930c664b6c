package e2e

import "time"

const (
	oneSecond  = time.Second      // within it a change must take effect
	tenSeconds = 10 * time.Second // for a program to do something small
)
