package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"kb/internal/broker"
	"kb/internal/secret"
	"kb/profile"
	"kb/providers"
	"kb/vaultfile"
)

// ownProvider is a definition of the user's own, for newHosts.
func ownProvider() string {
	hosts, _ := json.Marshal(allNewHosts()) // as TOML writes a list of strings, too
	return fmt.Sprintf(`name = "service"
title = "Service"
docs = "https://service.acme.example/docs"
sources = ["https://service.acme.example/docs"]
hosts = %[1]s
env = { SERVICE_TOKEN = "service_{random36}" }

[[login]]
method = "token"
title = "access token"
[[login.field]]
name = "token"
label = "Access token"
secret = true

[[inject]]
hosts = %[1]s
header = { Authorization = "Bearer {token}" }
source = "https://service.acme.example/docs"
`, hosts)
}

// home is a user's home folder with a vault.
type home struct {
	dir   string
	paths broker.Paths
	repo  string // a clone of github.com/acme/api
}

// newHome makes a device's identity and a vault of so many logins and rules,
// in the clear as kb init makes it: an X25519 identity without a passphrase. The
// service of newHosts is among the logins where it is asked for.
func newHome(ctx context.Context, dir string, withService bool, logins, rules int) (*home, error) {
	h := &home{dir: dir, repo: filepath.Join(dir, "src", "api")}
	h.paths = broker.Paths{
		Home: dir, Config: filepath.Join(dir, ".config", "kb"), State: filepath.Join(dir, ".local", "state", "kb"),
		Runtime: filepath.Join(dir, "run", "kb"),
	}
	if err := os.MkdirAll(filepath.Dir(h.paths.Runtime), 0o700); err != nil {
		return nil, err
	}
	options := broker.Options{Paths: h.paths, Getenv: func(string) string { return "" }}
	if _, err := broker.Init(ctx, broker.InitOptions{Options: options, Device: "laptop"}); err != nil {
		return nil, err
	}
	b, err := broker.Open(ctx, options)
	if err != nil {
		return nil, err
	}
	err = b.Edit(ctx, func(tx *vaultfile.Tx) error {
		if withService {
			if err := tx.PutProvider(vaultfile.Provider{Name: "service", TOML: ownProvider()}); err != nil {
				return err
			}
		}
		if err := putRules(tx, rules); err != nil {
			return err
		}
		return putLogins(tx, b.Catalog(), withService, logins)
	})
	return h, err
}

// client names the profiles beside work: one customer each.
func client(i int) string { return fmt.Sprintf("client-%03d", i) }

// putRules adds a profile and a remote rule for each customer, and a directory
// rule for every fifth; the one that counts comes last.
func putRules(tx *vaultfile.Tx, n int) error {
	for i := range n - 1 {
		name := client(i % 40)
		if i < 40 {
			if err := tx.PutProfile(profile.Profile{Name: name, GitEmail: "me@" + name + ".example"}); err != nil {
				return err
			}
		}
		r := profile.Rule{Profile: name, Remote: fmt.Sprintf("github.com/%s-%d/*", name, i)}
		if i%5 == 4 {
			r = profile.Rule{Profile: name, Dir: fmt.Sprintf("~/%s/%d/**", name, i)}
		}
		if _, err := tx.PutRule(r); err != nil {
			return err
		}
	}
	if err := tx.PutProfile(profile.Profile{Name: "work", GitEmail: "me@acme.example"}); err != nil {
		return err
	}
	_, err := tx.PutRule(profile.Rule{Profile: "work", Remote: "github.com/acme/*"})
	return err
}

// putLogins gives work a login at every provider that has hosts of its own, and
// spreads the rest over the customers.
func putLogins(tx *vaultfile.Tx, catalog *providers.Catalog, withService bool, n int) error {
	all, err := catalog.All()
	if err != nil {
		return err
	}
	if withService {
		service, err := providers.Parse([]byte(ownProvider()))
		if err != nil {
			return err
		}
		all = append(all, service)
	}
	var usable []*providers.Provider
	for _, p := range all {
		if !p.NeedsBase() && len(p.Login.Methods()) > 0 {
			usable = append(usable, p)
		}
	}
	for i := range n {
		p, who, as := usable[i%len(usable)], "work", ""
		if i >= len(usable) {
			who = client(i % 40)
			if i >= 40*len(usable) {
				as = strconv.Itoa(i)
			}
		}
		method := p.Login.Methods()[0]
		login := vaultfile.Login{Profile: who, Provider: p.Name, As: as, Method: method.Name, Secrets: map[string]secret.Value{}}
		for _, f := range method.Fields {
			login.Secrets[f.Name] = secret.New(token)
		}
		if err := tx.PutLogin(login); err != nil {
			return fmt.Errorf("login %d at %s: %w", i, p.Name, err)
		}
	}
	return nil
}

// clone makes the repository: empty, or with as many files and references as a
// large one has (the Linux kernel: 90,000 and 900).
func (h *home) clone(ctx context.Context, files, tags int) error {
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", h.repo},
		{"-C", h.repo, "remote", "add", "origin", "git@github.com:acme/api.git"},
	} {
		if err := h.git(ctx, nil, args...); err != nil {
			return err
		}
	}
	if files == 0 {
		return nil
	}
	var in bytes.Buffer
	in.WriteString("blob\nmark :1\ndata 2\nx\n\ncommit refs/heads/main\nmark :2\ncommitter me <me@acme.example> 1700000000 +0000\ndata 1\nx\n")
	for i := range files {
		fmt.Fprintf(&in, "M 100644 :1 d%03d/d%02d/f%06d\n", i%300, i%17, i)
	}
	for i := range tags {
		fmt.Fprintf(&in, "\nreset refs/tags/v%d\nfrom :2\n", i)
	}
	for _, step := range []struct {
		in   *bytes.Buffer
		args []string
	}{
		{&in, []string{"-C", h.repo, "fast-import", "--quiet"}},
		{nil, []string{"-C", h.repo, "read-tree", "HEAD"}}, // the index; a work tree would add nothing that kb reads
		{nil, []string{"-C", h.repo, "pack-refs", "--all"}},
	} {
		if err := h.git(ctx, step.in, step.args...); err != nil {
			return err
		}
	}
	return nil
}

func (h *home) git(ctx context.Context, in *bytes.Buffer, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = h.environ()
	if in != nil {
		cmd.Stdin = in
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, bytes.TrimSpace(out))
	}
	return nil
}

// environ is the user's environment.
func (h *home) environ() []string {
	return []string{
		"HOME=" + h.dir, "PATH=" + os.Getenv("PATH"), "USER=me", "LANG=C.UTF-8", "TERM=dumb",
		"XDG_RUNTIME_DIR=" + filepath.Dir(h.paths.Runtime),
	}
}
