package providers

import "strings"

// buildClients holds client ids that were given when kb was built:
//
//	go build -ldflags "-X kb/providers.buildClients=github=ID,linear=ID2" ./cmd/kb
//
// It is empty in what the project releases. A distributor who registers a client
// of their own puts its id here; a secret has no place in a program that others
// can read.
var buildClients string

// BuildClient returns the client id for a provider whose method says
// client = "build", if kb was built with one.
func BuildClient(provider string) (id string, ok bool) {
	for pair := range strings.SplitSeq(buildClients, ",") {
		if name, id, found := strings.Cut(pair, "="); found && name == provider && id != "" {
			return id, true
		}
	}
	return "", false
}
