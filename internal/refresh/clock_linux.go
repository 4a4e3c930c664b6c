package refresh

import (
	"time"

	"golang.org/x/sys/unix"
)

// elapsed is the time since the machine was started, sleep included
// (clock_gettime(2), CLOCK_BOOTTIME).
func elapsed() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return time.Since(started)
	}
	return time.Duration(t.Nano())
}

var started = time.Now()
