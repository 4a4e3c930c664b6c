//go:build !linux

package refresh

import "time"

// elapsed is the time since the process was started, without sleep. A token
// that ended in a sleep is known by the wall clock.
func elapsed() time.Duration { return time.Since(started) }

var started = time.Now()
