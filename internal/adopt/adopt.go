// Package adopt reads the logins that agents and tools keep for themselves, so
// that kb can take them over.
//
// # What it knows
//
//	claude-code  ~/.claude/.credentials.json    rotates
//	codex        ~/.codex/auth.json             rotates
//	gemini-cli   ~/.gemini/oauth_creds.json     keeps its refresh token
//	gh           ~/.config/gh/hosts.yml, or the system's keyring
//
// A login that rotates can have one owner only: whoever refreshes it makes the
// other's copy worthless. So it moves, and a placeholder takes its place in the
// program's own file ([Found.Replaced]): the program goes on as if it were
// logged in, and what it sends means something to kb alone.
//
// # What it leaves out
//
// It writes nothing and asks nobody. No client id of these programs is here:
// the broker learns it from the program's own first refresh.
//
// # Sources
//
// Claude Code and codex were run against servers of the test world, with files
// like these, to see what they read, send and write (claude 2.1.330, codex
// 0.169.0; internal/e2e). codex's file is also in its repository
// (github.com/openai/codex, codex-rs/login/src/auth/storage.rs), gemini-cli's
// in google-gemini/gemini-cli (packages/core/src/code_assist/oauth2.ts), gh's in
// cli/cli (internal/config/config.go).
package adopt

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"kb/internal/secret"
)

// Places is where programs keep things.
type Places struct {
	Home   string
	Getenv func(string) string
	// Keyring looks into the system's keyring; an error means that nothing is
	// there. Nil means that there is none.
	Keyring func(service, user string) (secret.Value, error)
}

// Source is a program whose login can be taken over.
type Source struct {
	Name  string // "claude-code"
	Title string // "Claude Code"
	// Provider and Method are those of kb's catalogue that its login becomes.
	Provider, Method string
	// Shapes are what its tokens look like: templates of placeholders.
	Shapes Placeholders

	path  func(Places) string
	read  func(Places, *Found, []byte) error
	place func(*Found, Placeholders) ([]byte, error)
}

// Sources are all that are known, by name.
func Sources() []Source { return []Source{claudeCode, codex, geminiCLI, gh} }

// Found is one login.
type Found struct {
	Source   Source
	Path     string // the file; "" where it came from the keyring
	Provider string // of kb's catalogue
	Method   string
	Base     string // of a self-hosted service; else empty
	Access   secret.Value
	Refresh  secret.Value // empty: it does not expire
	Expires  time.Time    // of Access; zero when nobody knows
	Scopes   []string
	Account  string // as the file says; may be empty
	ClientID string // that the tokens name; may be empty

	raw secret.Value
}

// Placeholders are what takes the place of the two tokens, or templates for it.
type Placeholders struct{ Access, Refresh string }

// Errors of reading.
var (
	// ErrNone: the program is not logged in, or not installed.
	ErrNone = errors.New("no login there")
	// ErrUnreadable: the file is not what the program is known to write.
	ErrUnreadable = errors.New("not in a form that kb knows")
)

// maxFile bounds a program's file, in bytes; real ones are under 16 KiB.
const maxFile = 1 << 20

// Find reads the source's login. An error wraps [ErrNone] or [ErrUnreadable],
// and never shows what the file holds.
func (s Source) Find(p Places) (*Found, error) {
	f := &Found{Source: s, Path: s.path(p), Provider: s.Provider, Method: s.Method}
	raw, err := readFile(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read login of %s from %q: %w", s.Name, f.Path, ErrNone)
	case err != nil:
		return nil, fmt.Errorf("read login of %s: %w", s.Name, err)
	}
	f.raw = secret.New(string(raw))
	if err := s.read(p, f, raw); err != nil {
		return nil, fmt.Errorf("read login of %s from %q: %w", s.Name, f.Path, err)
	}
	for _, v := range []secret.Value{f.Access, f.Refresh} {
		if v.Check() != nil {
			return nil, fmt.Errorf("read login of %s from %q: %w", s.Name, f.Path, ErrUnreadable)
		}
	}
	return f, nil
}

// Moves reports whether placeholders take the place of what was found: it has a
// refresh token, which is one owner's at best.
func (f *Found) Moves() bool { return f.Source.place != nil && !f.Refresh.IsZero() }

// Replaced is the program's file with placeholders for the tokens, and all else
// as it is. It is for logins with a refresh token.
func (f *Found) Replaced(p Placeholders) ([]byte, error) {
	if f.Source.place == nil {
		return nil, fmt.Errorf("replace login of %s: it stays where it is", f.Source.Name)
	}
	return f.Source.place(f, p)
}

// Raw is the file as it was read, for a backup.
func (f *Found) Raw() secret.Value { return f.raw }

// content is the file as it was read.
func (f *Found) content() []byte { return []byte(f.raw.Reveal()) }

// Unchanged reports whether the file is still what was read.
func (f *Found) Unchanged() bool {
	now, err := readFile(f.Path)
	return err == nil && secret.New(string(now)).Equal(f.raw)
}

// readFile reads a regular file, and waits for nothing: an agent may put a FIFO
// there, also at the last moment.
func readFile(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("%q: %w", path, ErrUnreadable)
	}
	return io.ReadAll(io.LimitReader(file, maxFile))
}

// under is a program's folder: the one that its variable names, else the one in
// the home folder.
func under(p Places, variable, folder, file string) string {
	dir := filepath.Join(p.Home, folder)
	if variable != "" && p.Getenv != nil {
		if named := p.Getenv(variable); filepath.IsAbs(named) {
			dir = named
		}
	}
	return filepath.Join(dir, file)
}
