package vaultrepo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/config"
)

// setting is one line of git's configuration.
type setting struct {
	key   string // section and name in lower case, the subsection as it is
	value string
	local bool // from the repository's own files
}

// maxConfig bounds a configuration file, in bytes, as package profile does.
const maxConfig = 4 << 20

// config is the effective configuration, as git itself reads it, in its order:
// of the lines of one key, the last one wins.
func (r *Repo) config(ctx context.Context) ([]setting, error) {
	if r.settings != nil {
		return r.settings, nil
	}
	for _, path := range []string{filepath.Join(r.CommonDir, "config"), filepath.Join(r.GitDir, "config.worktree")} {
		// Git would wait for ever for a FIFO here.
		if fi, err := os.Stat(path); err == nil && (!fi.Mode().IsRegular() || fi.Size() > maxConfig) {
			return nil, fmt.Errorf("read %q: not a configuration", path)
		}
	}
	out, err := r.git(ctx, nil, "config", "-z", "--list", "--show-scope", "--includes")
	if err != nil {
		return nil, err
	}
	settings := []setting{}
	for len(out) > 0 {
		var scope, entry []byte
		scope, out, _ = bytes.Cut(out, []byte{0})
		entry, out, _ = bytes.Cut(out, []byte{0})
		key, value, ok := strings.Cut(string(entry), "\n")
		if !ok {
			value = "true"
		}
		switch string(scope) {
		case "command": // kb's own flags
		case "local", "worktree":
			settings = append(settings, setting{key, value, true})
		default:
			settings = append(settings, setting{key, value, false})
		}
	}
	r.settings = settings
	return settings, nil
}

// get is the value of a key, "" if it is not set.
func get(settings []setting, key string) string {
	value := ""
	for _, s := range settings {
		if s.key == key {
			value = s.value
		}
	}
	return value
}

// getAll is every value of a key.
func getAll(settings []setting, key string) (values []string) {
	for _, s := range settings {
		if s.key == key {
			values = append(values, s.value)
		}
	}
	return values
}

// forTransfer is the configuration that a transfer runs under: the user's and
// the system's, and of the repository's own only how it rewrites URLs. All
// else that git reads there could run a program (core.sshCommand,
// remote.*.uploadpack, credential.helper) or weaken https (http.sslVerify).
func forTransfer(settings []setting) []setting {
	var out []setting
	for _, s := range settings {
		rewrite := strings.HasPrefix(s.key, "url.") && (strings.HasSuffix(s.key, ".insteadof") || strings.HasSuffix(s.key, ".pushinsteadof"))
		switch {
		case strings.HasPrefix(s.key, "include.") || strings.HasPrefix(s.key, "includeif."):
			// What they include is in the list already.
		case !s.local || rewrite:
			out = append(out, s)
		}
	}
	// Last, so that they win over the user's own.
	return append(out,
		setting{key: "core.hooksPath", value: "/dev/null"}, setting{key: "core.fsmonitor", value: "false"},
		setting{key: "protocol.ext.allow", value: "never"},
		setting{key: "push.followTags", value: "false"}, setting{key: "push.gpgSign", value: "false"},
		setting{key: "push.recurseSubmodules", value: "no"}, setting{key: "fetch.recurseSubmodules", value: "no"},
		setting{key: "fetch.prune", value: "false"}, setting{key: "fetch.writeCommitGraph", value: "false"},
	)
}

// executes names the keys of the repository's own configuration that a
// transfer by git itself would have used and kb's does not: why one may fail
// here that works there.
func executes(settings []setting) (keys []string) {
	for _, s := range settings {
		if !s.local {
			continue
		}
		section, _, _ := strings.Cut(s.key, ".")
		switch {
		case s.key == "core.sshcommand", s.key == "core.askpass", s.key == "core.gitproxy",
			section == "credential", section == "http",
			section == "remote" && (strings.HasSuffix(s.key, ".uploadpack") || strings.HasSuffix(s.key, ".receivepack") || strings.HasSuffix(s.key, ".vcs")):
			keys = append(keys, s.key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// ownFilters names the filter drivers whose commands the repository's own
// configuration gives.
func ownFilters(settings []setting) (names []string) {
	for _, s := range settings {
		name, ok := strings.CutPrefix(s.key, "filter.")
		if !ok || !s.local {
			continue
		}
		if i := strings.LastIndexByte(name, '.'); i >= 0 {
			names = append(names, name[:i])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// switchedOff are settings by which git runs neither a filter that the
// repository's own configuration gives a command, nor any hook that a
// configuration names, as git does from 2.54 on whatever core.hooksPath says.
func switchedOff(settings []setting) (off []setting) {
	for _, name := range ownFilters(settings) {
		for _, key := range []string{"clean", "smudge", "process"} {
			off = append(off, setting{key: "filter." + name + "." + key})
		}
		off = append(off, setting{key: "filter." + name + ".required", value: "false"})
	}
	for _, s := range settings {
		if name, ok := strings.CutPrefix(s.key, "hook."); ok {
			if i := strings.LastIndexByte(name, '.'); i >= 0 {
				off = append(off, setting{key: "hook." + name[:i] + ".enabled", value: "false"})
			}
		}
	}
	return off
}

// readConfigFile reads one file without git and without what it includes: for
// facts about the repository's format that git too reads from there alone.
func readConfigFile(path string) ([]setting, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxConfig {
		return nil, fmt.Errorf("read %q: not a configuration", path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cfg := config.New()
	if err := config.NewDecoder(bytes.NewReader(raw)).Decode(cfg); err != nil {
		return nil, err
	}
	var out []setting
	for _, section := range cfg.Sections {
		for _, o := range section.Options {
			out = append(out, setting{strings.ToLower(section.Name + "." + o.Key), o.Value, true})
		}
	}
	return out, nil
}
