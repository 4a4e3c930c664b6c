package secretref

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// found is a program, with the PATH that it was found by and runs with.
type found struct {
	Path   string `json:"path"`
	Search string `json:"search"`
}

// MissingError says that a program which a reference needs is not there.
type MissingError struct {
	Program string
	For     string // what it is the program of; empty for cmd:
}

func (e *MissingError) Error() string {
	if e.For == "" {
		return fmt.Sprintf("program %q is not in PATH", e.Program)
	}
	return fmt.Sprintf("program %q (%s) is not in PATH: install it, or use another reference", e.Program, e.For)
}

// MovedError says that a program is no longer where it was when this device
// first used it.
type MovedError struct{ Program, Was string }

func (e *MovedError) Error() string {
	return fmt.Sprintf("program %q was %s when it was first used here, and is not there any more", e.Program, e.Was)
}

// UnsafeError says why a program is not run.
type UnsafeError struct{ Path, Why string }

func (e *UnsafeError) Error() string { return fmt.Sprintf("not running %s: %s", e.Path, e.Why) }

// helpers are the programs of the schemes, for messages.
var helpers = map[string]string{
	"op": "1Password CLI", "bw": "Bitwarden CLI", "aws": "AWS CLI version 2", "gcloud": "Google Cloud CLI", "sops": "SOPS",
}

func anchorOf(program string) string { return "program/" + program }

// programOf is the program that a reference runs, or may run; empty for none.
func (p *reference) programOf() string {
	switch name, _, _ := strings.Cut(p.text, ":"); name {
	case "cmd":
		if argv, err := words(p.name); err == nil && !strings.Contains(argv[0], "/") {
			return argv[0]
		}
	case "op", "bw", "sops":
		return name
	case "awssm", "awsps":
		return "aws"
	case "gcpsm":
		return "gcloud"
	}
	return ""
}

// Changed reports, without asking anybody, that what a reference depends on is
// no longer what this device has kept: a *MovedError or a *ServerError.
func (r *Resolver) Changed(ref string) error {
	p, err := parse(ref)
	if err != nil || r.o.Anchors == nil {
		return err
	}
	if strings.HasPrefix(ref, "vault:") {
		was, ok, err := r.o.Anchors.Anchor(vaultAnchor)
		if now := origin(r.vaultVariable("ADDR")); err == nil && ok && now != "" && now != was {
			err = &ServerError{was, now}
		}
		return err
	}
	if name := p.programOf(); name != "" {
		_, _, err = r.anchored(name)
	}
	return err
}

// Needs says what a reference depends on besides its Source: the program of a
// manager, or a server; empty for nothing. What is found is kept.
func (r *Resolver) Needs(ctx context.Context, ref string) (string, error) {
	p, err := parse(ref)
	if err != nil {
		return "", err
	}
	name := p.programOf()
	switch scheme, _, _ := strings.Cut(ref, ":"); {
	case scheme == "vault":
		if at := origin(r.vaultVariable("ADDR")); at != "" {
			return "asks " + at, nil
		}
	case scheme == "op", scheme == "bw", scheme == "sops":
		f, err := r.program(ctx, name)
		if err != nil {
			return "", err
		}
		return "runs " + f.Path, nil
	case name != "" && scheme != "cmd": // only some ways lead to the program
		if f, err := r.program(ctx, name); err == nil {
			return "may run " + f.Path, nil
		}
	}
	return "", nil
}

// Renew forgets what this device has kept of what a reference depends on, so
// that it is found anew.
func (r *Resolver) Renew(ctx context.Context, ref string) error {
	p, err := parse(ref)
	if err != nil || r.o.Anchors == nil {
		return err
	}
	defer r.Forget(ref)
	if strings.HasPrefix(ref, "vault:") {
		return r.o.Anchors.SetAnchor(ctx, vaultAnchor, "")
	}
	if name := p.programOf(); name != "" {
		return r.o.Anchors.SetAnchor(ctx, anchorOf(name), "")
	}
	return nil
}

// anchored is a program as this device has kept it.
func (r *Resolver) anchored(name string) (kept found, ok bool, err error) {
	text, ok, err := r.o.Anchors.Anchor(anchorOf(name))
	if err != nil || !ok || json.Unmarshal([]byte(text), &kept) != nil {
		return found{}, false, err
	}
	if _, err := os.Stat(kept.Path); errors.Is(err, fs.ErrNotExist) {
		return found{}, false, &MovedError{name, kept.Path}
	}
	return kept, true, nil
}

// program finds a program: where it was when this device first used it, else by
// PATH, which is remembered.
func (r *Resolver) program(ctx context.Context, name string) (found, error) {
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			return found{}, errors.New("a program is named by its absolute path or found by PATH")
		}
		return r.checked(found{Path: name, Search: r.safeSearch()})
	}
	if r.o.Anchors != nil {
		if kept, ok, err := r.anchored(name); err != nil {
			return found{}, err
		} else if ok {
			return r.checked(kept)
		}
	}
	f, err := r.look(name)
	if err != nil || r.o.Anchors == nil {
		return f, err
	}
	text, err := json.Marshal(f)
	if err != nil {
		return found{}, err
	}
	return f, r.o.Anchors.SetAnchor(ctx, anchorOf(name), string(text))
}

// look finds a program by PATH. The first that PATH has is meant: if that one is
// not safe to run, no other is taken in its place.
func (r *Resolver) look(name string) (found, error) {
	for _, folder := range filepath.SplitList(r.o.Getenv("PATH")) {
		if !filepath.IsAbs(folder) {
			continue // relative to wherever kb happens to be started
		}
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			continue
		}
		return r.checked(found{Path: path, Search: r.safeSearch()})
	}
	return found{}, &MissingError{name, helpers[name]}
}

// checked refuses a program that somebody else, or the repository at hand, can
// have put there.
func (r *Resolver) checked(f found) (found, error) {
	real, err := filepath.EvalSymlinks(f.Path)
	if err != nil {
		return found{}, fmt.Errorf("find program %s: %w", f.Path, withoutPath(err))
	}
	for _, path := range []string{f.Path, real} {
		if root := r.atHand(); root != "" && inside(path, root) {
			return found{}, &UnsafeError{f.Path, "it is in the directory at hand, " + root}
		}
		if err := safePath(path); err != nil {
			return found{}, &UnsafeError{f.Path, err.Error()}
		}
	}
	info, err := os.Stat(real)
	if err != nil {
		return found{}, fmt.Errorf("find program %s: %w", f.Path, withoutPath(err))
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return found{}, &UnsafeError{f.Path, "it is not an executable file"}
	}
	return f, nil
}

// safeSearch is the part of PATH that a program may be given.
func (r *Resolver) safeSearch() string {
	var folders []string
	for _, folder := range filepath.SplitList(r.o.Getenv("PATH")) {
		if !filepath.IsAbs(folder) || safePath(folder) != nil {
			continue
		}
		if root := r.atHand(); root != "" && inside(folder, root) {
			continue
		}
		folders = append(folders, folder)
	}
	return strings.Join(folders, string(filepath.ListSeparator))
}

// atHand is the repository, or else the directory, that kb was started in: its
// files are an agent's to write. Empty where that is the home directory or
// above it, which is no project.
func (r *Resolver) atHand() string {
	dir, err := filepath.EvalSymlinks(r.o.Dir)
	if err != nil {
		return ""
	}
	root := dir
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			root = at
			break
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	home, err := filepath.EvalSymlinks(r.o.Home)
	if err != nil {
		home = r.o.Home
	}
	if root == dir && inside(home, dir) || root == "/" {
		return ""
	}
	if inside(home, root) { // dotfiles kept in the home itself
		if inside(home, dir) {
			return ""
		}
		return dir
	}
	return root
}

// inside reports whether a path is a folder or below it.
func inside(path, folder string) bool {
	return path == folder || strings.HasPrefix(path, strings.TrimSuffix(folder, "/")+"/")
}

// safePath wants a path that only root and this user can have put there: each
// part of it belongs to one of the two and cannot be written by everybody. In a
// folder with the sticky bit everybody can add and nobody take away. Groups
// may write: on many systems each user has one of their own, and Homebrew's
// folders belong to that of the administrators.
func safePath(path string) error {
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return withoutPath(err)
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return errors.New("who owns it is not known")
		}
		mode := info.Mode()
		switch {
		case stat.Uid != 0 && int(stat.Uid) != os.Geteuid():
			return fmt.Errorf("%s belongs to another user", at)
		case mode&fs.ModeSymlink == 0 && mode&0o002 != 0 && (!mode.IsDir() || mode&fs.ModeSticky == 0):
			return fmt.Errorf("everybody can write %s", at)
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// maxProgram bounds what is read of a program to tell whether it is the same,
// in bytes. The largest real ones have some 150 MB.
const maxProgram = 512 << 20

// contentOf is the SHA-256 of a program's file, empty where only root can
// change it.
func contentOf(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", withoutPath(err)
	}
	if os.Geteuid() != 0 && rootOnly(path) && rootOnly(real) {
		return "", nil
	}
	f, err := openPlain(real)
	if err != nil {
		return "", withoutPath(err)
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(f, maxProgram+1))
	if err != nil {
		return "", withoutPath(err)
	}
	if n > maxProgram {
		return "", fmt.Errorf("program is larger than %d MiB", maxProgram>>20)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// rootOnly reports whether nobody but root can change a path.
func rootOnly(path string) bool {
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Lstat(at)
		if err != nil {
			return false
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || stat.Uid != 0 || info.Mode()&fs.ModeSymlink == 0 && info.Mode()&0o022 != 0 {
			return false
		}
		if at == filepath.Dir(at) {
			return true
		}
	}
}
