package vaultrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"kb/internal/atomicfile"
)

// DriverName is what attributes and configuration call kb.
const DriverName = "kb-vault"

// driverAttributes are what the vault's path gets: merged and shown by kb, and
// stored as it is, without line ends converted and without a filter, for it is
// encrypted already.
const driverAttributes = "merge=" + DriverName + " diff=" + DriverName + " -text -filter"

// AttributesFile is where Setup writes attributes.
func (r *Repo) AttributesFile() string { return filepath.Join(r.Root, ".gitattributes") }

// Setup is what SetUp did.
type Setup struct {
	Attributes string            // path of the file
	Line       string            // the vault's line in it
	LineIsNew  bool              // false: the file had it, from another clone
	Config     map[string]string // what the repository's own configuration has now
	Changed    bool              // false: all was there already
}

// SetUp has git merge and show the vault with the program kb, an absolute
// path: by name, another program of that name could come before it in PATH.
// It can be run again, and keeps all other lines.
func (r *Repo) SetUp(ctx context.Context, kb string) (Setup, error) {
	if !filepath.IsAbs(kb) {
		return Setup{}, fmt.Errorf("set up git: %q is not an absolute path", kb)
	}
	s := Setup{Attributes: r.AttributesFile(), Line: attributesLine(r.Path), Config: map[string]string{
		"merge." + DriverName + ".name":         "kb vault",
		"merge." + DriverName + ".driver":       strings.ReplaceAll(shellQuote(kb), "%", "%%") + " vault merge %O %A %B",
		"diff." + DriverName + ".textconv":      shellQuote(kb) + " vault show --textconv",
		"diff." + DriverName + ".cachetextconv": "false", // git would keep what it shows in the repository
	}}
	changed, err := r.writeAttributes(s.Line)
	if err != nil {
		return s, err
	}
	s.Changed, s.LineIsNew = changed, changed
	settings, err := r.config(ctx)
	if err != nil {
		return s, fmt.Errorf("set up git: %w", err)
	}
	for key, value := range s.Config {
		var have []string
		for _, other := range settings {
			if other.local && other.key == strings.ToLower(key) {
				have = append(have, other.value)
			}
		}
		if len(have) == 1 && have[0] == value {
			continue
		}
		if _, err := r.git(ctx, nil, "config", "--local", "--replace-all", key, value); err != nil {
			return s, fmt.Errorf("set up git: %w", err)
		}
		s.Changed = true
	}
	r.settings = nil
	// A .gitattributes nearer to the vault beats the one at the top.
	out, err := r.git(ctx, nil, "check-attr", "-z", "merge", "--", r.Path)
	if err != nil {
		return s, fmt.Errorf("set up git: %w", err)
	}
	if f := strings.Split(string(out), "\x00"); len(f) < 3 || f[2] != DriverName {
		return s, ErrOverridden
	}
	return s, nil
}

// ErrOverridden: other attributes win over what SetUp wrote.
var ErrOverridden = errors.New("another attributes file sets how the vault is merged")

// maxAttributes bounds .gitattributes, in bytes; git's own limit is 100 MB.
const maxAttributes = 4 << 20

// writeAttributes puts the vault's line in place of one for the same path, or
// at the end: of two that match, the later one wins.
func (r *Repo) writeAttributes(line string) (changed bool, err error) {
	// Not through a symbolic link: git follows none here, and it could lead to a
	// file that a shell runs.
	path := r.AttributesFile()
	mode := fs.FileMode(0o644) // git's own for a file that it checks out
	var old []byte
	fi, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return false, fmt.Errorf("write attributes: %w", err)
	case !fi.Mode().IsRegular() || fi.Size() > maxAttributes:
		return false, fmt.Errorf("write attributes: %q is not a file of attributes", path)
	default:
		mode = fi.Mode().Perm()
		if old, err = os.ReadFile(path); err != nil {
			return false, fmt.Errorf("write attributes: %w", err)
		}
	}
	text := withLine(old, r.Path, line)
	if bytes.Equal(old, text) {
		return false, nil
	}
	if err := atomicfile.Write(path, text, atomicfile.Options{Durable: true}); err != nil {
		return false, fmt.Errorf("write attributes: %w", err)
	}
	return true, os.Chmod(path, mode)
}

// withLine is the text with the line for path in it once, at the place of the
// first one that kb wrote for that path.
func withLine(old []byte, path, line string) []byte {
	pattern := attributesPattern(path)
	var out bytes.Buffer
	done := false
	for each := range bytes.Lines(old) {
		if bytes.HasPrefix(each, []byte(pattern+" merge="+DriverName)) {
			if !done {
				out.WriteString(line + "\n")
			}
			done = true
			continue
		}
		out.Write(each)
	}
	if !done {
		if b := out.Bytes(); len(b) > 0 && b[len(b)-1] != '\n' {
			out.WriteByte('\n')
		}
		out.WriteString(line + "\n")
	}
	return out.Bytes()
}

// attributesLine matches the one path and nothing else (gitattributes(5)).
func attributesLine(path string) string { return attributesPattern(path) + " " + driverAttributes }

// attributesPattern escapes what gitignore's patterns give a meaning, then
// quotes as C does what would end the pattern.
func attributesPattern(path string) string {
	var glob strings.Builder
	glob.WriteByte('/') // from the top, and so neither a comment nor a negation
	for _, c := range []byte(path) {
		if strings.IndexByte(`*?[]\`, c) >= 0 {
			glob.WriteByte('\\')
		}
		glob.WriteByte(c)
	}
	pattern := glob.String()
	if !strings.ContainsFunc(pattern, func(c rune) bool { return c <= ' ' || c == '"' || c == 0x7f || c == utf8.RuneError }) {
		return pattern
	}
	var quoted strings.Builder
	quoted.WriteByte('"')
	for _, c := range []byte(pattern) {
		switch {
		case c == '"' || c == '\\':
			quoted.WriteByte('\\')
			quoted.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&quoted, `\%03o`, c)
		default:
			quoted.WriteByte(c)
		}
	}
	quoted.WriteByte('"')
	return quoted.String()
}

// shellQuote makes one word of s for sh, by which git starts drivers.
func shellQuote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("/._-+@:,", c)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
