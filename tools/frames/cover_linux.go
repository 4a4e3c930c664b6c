package main

import (
	"fmt"
	"os"
	"syscall"
)

// names gives the world's hosts addresses of TEST-NET-3 (RFC 5737), where
// nothing answers: kb decides about a request before it connects.
const names = "127.0.0.1 localhost\n::1 localhost\n203.0.113.10 api.github.com github.com api.openai.com api.anthropic.com api.stripe.com\n"

// cover puts an empty folder over /home and the world's names over /etc/hosts,
// for this process and what it starts.
func cover() error {
	if err := syscall.Mount("kb", "/home", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount over /home: %w", err)
	}
	const hosts = "/home/.hosts"
	if err := os.WriteFile(hosts, []byte(names), 0o644); err != nil { //nolint:gosec // every program reads it
		return err
	}
	if err := syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount over /etc/hosts: %w", err)
	}
	return nil
}
