package main

import (
	"os"

	"kb/internal/refresh"
	"kb/internal/supervisor"
)

// refreshWorker is kb as the small process that a session starts for a refresh
// of tokens. It says that it is ready when nobody can read its memory, and is
// given its job then.
func refreshWorker() int {
	if supervisor.Harden() != nil || supervisor.Traced() {
		return 1
	}
	return refresh.WorkerMain(os.Stdin, os.Stdout)
}
