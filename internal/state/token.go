package state

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"kb/internal/atomicfile"
	"kb/internal/secret"
)

// LoginKey names a login on this device: the vault as the device calls it, and
// profile, provider and --as name as that vault has them.
type LoginKey struct{ Vault, Profile, Provider, As string }

// Token is what this device holds of a login whose tokens expire.
type Token struct {
	Access   secret.Value
	Refresh  secret.Value // empty where new tokens come from the login's own keys, or not at all
	Type     string
	Obtained time.Time // when the tokens came
	Expires  time.Time // of the access token; zero when nobody knows
	Scopes   []string

	// Made is the time of the login that the tokens come from, so that those of
	// an earlier login do not serve a later one.
	Made time.Time
	// Account is whose they are; empty where nobody was asked. Tokens of a later
	// login than the vault's record are of that record's account, or not used.
	Account string
	// Taken is the hash of the refresh token of another program that these
	// tokens, or those before them, were taken from (kb import).
	Taken string
	// For says what the tokens were granted for, where that is not the owner's
	// alone to change: those that were got for something else do not serve it.
	For string
	// Shared is the hash of the refresh token that the vault held when these
	// tokens were made from it; empty for a login of this device only.
	Shared string

	// Server and Client are JSON of what the tokens were got with, where the
	// definition does not say (dynamic registration); else empty.
	Server []byte
	Client string // name of the client record

	State    string    // as the broker's states; set by whoever refreshed last
	Since    time.Time // of State
	Reason   string
	Failures int       // refreshes in a row that failed without a verdict
	Retry    time.Time // not before

	Past []Outcome // newest first; see [Remember]
}

// tokenRecord is a Token as it is sealed. Secrets are bytes, because JSON's
// strings would change what is not UTF-8.
type tokenRecord struct {
	Access   []byte    `json:"access,omitempty"`
	Refresh  []byte    `json:"refresh,omitempty"`
	Type     string    `json:"type,omitempty"`
	Obtained time.Time `json:"obtained,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Scopes   []string  `json:"scopes,omitempty"`
	Made     time.Time `json:"made,omitzero"`
	Account  string    `json:"account,omitempty"`
	Taken    string    `json:"taken,omitempty"`
	For      string    `json:"for,omitempty"`
	Shared   string    `json:"shared,omitempty"`
	Server   []byte    `json:"server,omitempty"`
	Client   string    `json:"client,omitempty"`
	State    string    `json:"state,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Reason   string    `json:"reason,omitempty"`
	Failures int       `json:"failures,omitempty"`
	Retry    time.Time `json:"retry,omitzero"`
	Past     []Outcome `json:"past,omitempty"`
}

// EncodeToken is a token in the form in which it is sealed: with its secrets,
// for a pipe between two processes of kb and for nothing else.
func EncodeToken(t Token) secret.Value { return secret.New(string(encodeToken(t))) }

// DecodeToken reads what EncodeToken wrote.
func DecodeToken(v secret.Value) (Token, error) { return decodeToken("token", []byte(v.Reveal())) }

func encodeToken(t Token) []byte {
	b, err := json.Marshal(tokenRecord{
		Access: []byte(t.Access.Reveal()), Refresh: []byte(t.Refresh.Reveal()), Type: t.Type,
		Obtained: wall(t.Obtained), Expires: wall(t.Expires), Scopes: t.Scopes,
		Made: wall(t.Made), Account: t.Account, Taken: t.Taken, For: t.For, Shared: t.Shared, Server: t.Server, Client: t.Client,
		State: t.State, Since: wall(t.Since), Reason: t.Reason, Failures: t.Failures, Retry: wall(t.Retry), Past: t.Past,
	})
	if err != nil {
		panic(err) // times of years that JSON cannot say are cut by wall
	}
	return b
}

func decodeToken(name string, b []byte) (Token, error) {
	var r tokenRecord
	if err := decodeJSON(name, b, &r); err != nil {
		return Token{}, err
	}
	return Token{
		Access: secret.New(string(r.Access)), Refresh: secret.New(string(r.Refresh)), Type: r.Type,
		Obtained: r.Obtained, Expires: r.Expires, Scopes: r.Scopes,
		Made: r.Made, Account: r.Account, Taken: r.Taken, For: r.For, Shared: r.Shared, Server: r.Server, Client: r.Client,
		State: r.State, Since: r.Since, Reason: r.Reason, Failures: r.Failures, Retry: r.Retry, Past: r.Past,
	}, nil
}

// wall is a time without its monotonic reading, in UTC. A server may say that a
// token lives for a million years: RFC 3339 ends with 9999.
func wall(t time.Time) time.Time {
	if t = t.Round(0).UTC(); t.Year() < 0 {
		return time.Time{}
	} else if t.Year() > 9999 {
		return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	}
	return t
}

// blob is the name of a blob of that class about a login. Its parts are
// escaped, so that no two logins have one name.
func (k LoginKey) blob(class string) string {
	return class + "/" + strings.Join([]string{url.PathEscape(k.Vault), url.PathEscape(k.Profile), url.PathEscape(k.Provider), url.PathEscape(k.As)}, "/")
}

func parseLoginKey(name string) (LoginKey, error) {
	parts := strings.Split(name, "/")
	if len(parts) != 5 {
		return LoginKey{}, fmt.Errorf("name %q: %w", name, ErrBadName)
	}
	for i, p := range parts {
		var err error
		if parts[i], err = url.PathUnescape(p); err != nil {
			return LoginKey{}, fmt.Errorf("name %q: %w", name, ErrBadName)
		}
	}
	return LoginKey{parts[1], parts[2], parts[3], parts[4]}, nil
}

// Token returns what the device holds of a login, and whether it holds any.
func (s *Store) Token(k LoginKey) (Token, bool, error) {
	name := k.blob("token")
	b, ok, err := s.Get(name)
	if err != nil || !ok {
		return Token{}, false, err
	}
	t, err := decodeToken(name, b)
	return t, err == nil, err
}

// PutToken keeps the tokens of a login; they are on the disk when it returns.
// Who replaces tokens holds the lock of the login ([Store.LockToken]).
func (s *Store) PutToken(ctx context.Context, k LoginKey, t Token) error {
	return s.put(k.blob("token"), encodeToken(t), atomicfile.Options{Durable: true, Disk: atomicfile.DiskOf(ctx)})
}

// DeleteToken forgets the tokens of a login, and what is known of a refresh of
// them.
func (s *Store) DeleteToken(k LoginKey) error {
	if err := s.Delete(k.blob("token")); err != nil {
		return err
	}
	return s.ClearJournal(k)
}

// Tokens lists the logins that the device holds tokens of, in the order of
// their names.
func (s *Store) Tokens() ([]LoginKey, error) {
	names, err := s.List("token/")
	if err != nil {
		return nil, err
	}
	keys := make([]LoginKey, len(names))
	for i, name := range names {
		if keys[i], err = parseLoginKey(name); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// TokenMark tells two versions of a login's stored token apart. The zero mark
// is that of none.
type TokenMark struct {
	inode    uint64
	modified int64
	size     int64
}

// TokenMark looks at the file alone, in about 2 µs, so that a cached token is
// known to be the stored one without opening it.
func (s *Store) TokenMark(k LoginKey) (TokenMark, error) {
	dir, base, err := s.file(k.blob("token"))
	if err != nil {
		return TokenMark{}, err
	}
	fi, err := os.Lstat(filepath.Join(dir, base))
	if os.IsNotExist(err) {
		return TokenMark{}, nil
	}
	if err != nil {
		return TokenMark{}, err
	}
	return markOf(fi), nil
}

func markOf(fi fs.FileInfo) TokenMark {
	m := TokenMark{modified: fi.ModTime().UnixNano(), size: fi.Size()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		m.inode = st.Ino
	}
	return m
}
