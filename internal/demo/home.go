package demo

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/secret"
	"kb/internal/supervisor"
	"kb/profile"
	"kb/vaultfile"
)

// The two repositories. One remote rule gives the first its profile, one
// directory rule the second.
const (
	workRepository = "acme/api"
	ossRepository  = "you/parser"
)

// side is one repository with the identity that belongs to it.
type side struct {
	profile    string
	repository string // at the forge, OWNER/NAME
	folder     string // below the home directory
	account    account
	author     string // as commits should name it
}

// home is a home directory of the demo's own, and what stands in it.
type home struct {
	dir    string // real path
	path   string // PATH of the children
	git    string // the git program
	forge  *forge
	net    *network
	broker *broker.Broker
	paths  broker.Paths
	sides  [2]side
}

// build makes it all in an empty folder.
func (h *home) build(ctx context.Context, dir string) (err error) {
	// Directory rules are about real paths, and macOS has its temporary folder
	// behind a symbolic link.
	if h.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return fmt.Errorf("make the demo's home: %w", err)
	}
	if h.git, err = supervisor.Lookup("git", h.environ(), ""); err != nil {
		return hint.Exit(hint.Failure, err, "install git (apt install git, dnf install git, brew install git), then run kb demo again")
	}
	h.sides = [2]side{
		{profile: "work", repository: workRepository, folder: "src/api", author: "You at Acme <you@acme.example>"},
		{profile: "oss", repository: ossRepository, folder: "oss/parser", author: "You <you@home.example>"},
	}
	var accounts []account
	var names []string
	for i := range h.sides {
		s := &h.sides[i]
		owner, _, _ := strings.Cut(s.repository, "/")
		s.account = newAccount("you-"+s.profile, s.profile, owner)
		accounts, names = append(accounts, s.account), append(names, s.repository)
	}
	if h.forge, err = newForge(accounts, names); err != nil {
		return fmt.Errorf("make the demo's forge: %w", err)
	}
	if h.net, err = newNetwork(ctx, map[string]http.Handler{apiHost: h.forge.api(), gitHost: h.forge.git()}); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(h.dir, ".gitconfig"), []byte(gitConfig), 0o600); err != nil {
		return fmt.Errorf("make the demo's home: %w", err)
	}
	for _, s := range h.sides {
		if err := h.makeRepository(ctx, s); err != nil {
			return err
		}
	}
	return h.openVault(ctx)
}

// Close ends the forge, if there is one yet.
func (h *home) Close() {
	if h.net != nil {
		h.net.Close()
	}
}

// environ is the environment of somebody whose home this is. Nothing of the
// user's own is in it but PATH: neither git's configuration nor a variable
// that steers it.
func (h *home) environ() []string {
	return []string{
		"HOME=" + h.dir,
		"PATH=" + h.path,
		"TMPDIR=" + h.dir,
		"LANG=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + filepath.Join(h.dir, ".gitconfig"),
	}
}

// getenv looks a variable up in environ.
func (h *home) getenv(name string) string {
	for _, entry := range h.environ() {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// gitConfig keeps git from starting processes that outlive their command.
const gitConfig = "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[pull]\n\tff = only\n"

// makeRepository makes a side's repository with its remote, and nothing in it:
// the agent fetches by itself.
func (h *home) makeRepository(ctx context.Context, s side) error {
	dir := filepath.Join(h.dir, s.folder)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the demo's repository: %w", err)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--template="},
		{"remote", "add", "origin", "https://" + gitHost + "/" + s.repository + ".git"},
	} {
		cmd := exec.CommandContext(ctx, h.git, args...)
		cmd.Dir, cmd.Env = dir, h.environ()
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("make the demo's repository: git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// openVault makes the vault as kb init, provider add, profile add, rule add and
// login would.
func (h *home) openVault(ctx context.Context) error {
	var err error
	if h.paths, err = broker.FindPaths(h.getenv); err != nil {
		return err
	}
	options := broker.Options{
		Paths: h.paths, Getenv: h.getenv,
		Resolver: h.net, Roots: h.net.roots, Bundle: h.net.bundle, Dial: h.net.Dial,
	}
	if _, err := broker.Init(ctx, broker.InitOptions{Options: options, Device: "demo"}); err != nil {
		return err
	}
	if h.broker, err = broker.Open(ctx, options); err != nil {
		return err
	}
	err = h.broker.Edit(ctx, func(tx *vaultfile.Tx) error {
		for _, s := range h.sides {
			name, email, _ := strings.Cut(s.author, " <")
			p := profile.Profile{Name: s.profile, GitName: name, GitEmail: strings.TrimSuffix(email, ">")}
			if err := tx.PutProfile(p); err != nil {
				return err
			}
		}
		for _, r := range []profile.Rule{
			{Profile: h.sides[0].profile, Remote: gitHost + "/acme/*"},
			{Profile: h.sides[1].profile, Dir: "~/oss/**"},
		} {
			if _, err := tx.PutRule(r); err != nil {
				return err
			}
		}
		return tx.PutProvider(vaultfile.Provider{Name: provider, TOML: definition})
	})
	if err != nil {
		return err
	}
	for _, s := range h.sides {
		result, err := h.broker.Login(ctx, broker.LoginSpec{Verify: true, Login: vaultfile.Login{
			Profile: s.profile, Provider: provider, Method: "token",
			Secrets: map[string]secret.Value{"token": secret.New(s.account.token)},
		}})
		if err != nil {
			return err
		}
		if result.Account != s.account.login {
			return fmt.Errorf("log in at the demo's forge as %q: it answered %q", s.account.login, result.Account)
		}
	}
	h.forge.forget() // what follows is the agents' alone
	return nil
}

// tilde shortens the paths below the home directory in a text.
func (h *home) tilde(text string) string { return strings.ReplaceAll(text, h.dir, "~") }
