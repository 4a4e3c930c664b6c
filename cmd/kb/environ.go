package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
)

// steering are variables by which somebody else could make kb trust another
// certificate, talk through another proxy, or print what it sends. kb ignores
// them for itself. Unsetting them here is too late for some: net/http reads
// GODEBUG (http2debug prints headers) and the runtime GOTRACEBACK before main.
var steering = []string{
	"SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "GODEBUG", "GOTRACEBACK",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
	"AGEDEBUG",       // makes age print what it says to a plugin, the file's key in it
	"REQUEST_METHOD", // makes net/http ignore HTTP_PROXY, as if in CGI: no use for it here
}

// asideVariable carries the child's values of the steering variables through
// the re-execution, as a JSON object.
const asideVariable = "KB_ENVIRON_ASIDE"

// reexecWithCleanEnvironment replaces this process by itself without the
// steering variables, if there are any: about 0.5 ms. It returns in a process
// whose environment holds none of them.
func reexecWithCleanEnvironment() {
	clean, aside := setAside(os.Environ())
	if len(aside) == 0 {
		return
	}
	self, err := os.Executable()
	if err == nil {
		var values []byte
		if values, err = json.Marshal(aside); err == nil {
			err = syscall.Exec(self, os.Args, append(clean, asideVariable+"="+string(values)))
		}
	}
	fmt.Fprintf(os.Stderr, "kb: start without %s of the environment: %v\n", strings.Join(sortedNames(aside), ", "), err)
	os.Exit(1)
}

// setAside splits an environment into what kb may see and the steering
// variables. Values set aside by an outer kb do not survive: those of this
// environment are the ones that count.
func setAside(environ []string) (clean []string, aside map[string]string) {
	aside = map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if slices.Contains(steering, name) {
			aside[name] = value
			continue
		}
		clean = append(clean, entry)
	}
	return clean, aside
}

// childEnviron is the environment as the user set it, for the child: kb's own,
// and what was set aside.
func childEnviron(environ []string) []string {
	var out, aside []string
	for _, entry := range environ {
		value, ok := strings.CutPrefix(entry, asideVariable+"=")
		if !ok {
			out = append(out, entry)
			continue
		}
		values := map[string]string{}
		if json.Unmarshal([]byte(value), &values) != nil {
			continue // not written by kb
		}
		for _, name := range sortedNames(values) {
			if slices.Contains(steering, name) {
				aside = append(aside, name+"="+values[name])
			}
		}
	}
	return append(out, aside...)
}

func sortedNames[T any](values map[string]T) []string {
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
