package state

import "context"

// Agent is a login that kb took over from a program of the user's: what stands
// in that program's own file since then. Neither placeholder is a secret.
type Agent struct {
	Source  string `json:"source"`  // as kb import names it
	Path    string `json:"path"`    // the program's file
	Access  string `json:"access"`  // placeholders, the same for every session,
	Refresh string `json:"refresh"` // because the program keeps them
	Backup  string `json:"backup"`  // the file as it was, encrypted to this device
}

// Agent returns what stands in a program's file for a login.
func (s *Store) Agent(k LoginKey) (a Agent, ok bool, err error) {
	ok, err = s.getJSON(k.blob("agent"), &a)
	return a, ok, err
}

// Agents returns what stands in programs' files, also for logins that are gone
// since: the files do not know.
func (s *Store) Agents() (all []Agent, err error) {
	err = s.each("agent/", func(name string, data []byte) error {
		var a Agent
		err := decodeJSON(name, data, &a)
		all = append(all, a)
		return err
	})
	return all, err
}

// PutAgent keeps it.
func (s *Store) PutAgent(_ context.Context, k LoginKey, a Agent) error {
	return s.putJSON(k.blob("agent"), a)
}

// DeleteAgent forgets it.
func (s *Store) DeleteAgent(k LoginKey) error { return s.Delete(k.blob("agent")) }
