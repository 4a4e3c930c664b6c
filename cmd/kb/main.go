// Command kb is a credential broker for AI agents. README.md shows it at work;
// each verb is one file of this folder.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"kb/internal/refresh"
)

// version is set by the release build.
var version = "dev"

func main() {
	// First of all: a variable that steers TLS, the proxy or the runtime of kb
	// itself may have been set by an agent (environ.go).
	reexecWithCleanEnvironment()
	if len(os.Args) == 2 && os.Args[1] == refresh.WorkerArgument {
		os.Exit(refreshWorker())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, stop, newApp(), os.Args[1:])
	stop()
	os.Exit(code)
}
