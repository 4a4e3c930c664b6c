package profile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-git/go-git/v5/plumbing/format/config"
)

// readConfigFiles reads the configuration without a git program: the user's
// two files and the repository's. It follows no includes, says so in the note
// if there are any, and knows no safe.directory: a repository is its owner's.
func readConfigFiles(l *layout, env Env) ([]setting, string, error) {
	if err := ownRepository(l); err != nil {
		return nil, "", err
	}
	variables := make(map[string]string)
	for _, kv := range env.Environ {
		name, value, _ := strings.Cut(kv, "=")
		variables[name] = value
	}
	var files []configFile
	user := func(elem ...string) {
		if path := filepath.Join(elem...); filepath.IsAbs(path) { // never from the directory that kb happens to be in
			files = append(files, configFile{path: path})
		}
	}
	if global, ok := variables["GIT_CONFIG_GLOBAL"]; ok {
		user(global)
	} else {
		if xdg := variables["XDG_CONFIG_HOME"]; xdg != "" {
			user(xdg, "git", "config")
		} else {
			user(env.Home, ".config", "git", "config")
		}
		user(env.Home, ".gitconfig")
	}
	files = append(files, configFile{path: filepath.Join(l.commonDir, "config"), local: true})

	note := "no git program found: kb read the repository itself"
	var all []setting
	for _, f := range files {
		settings, err := f.read()
		if errors.Is(err, fs.ErrNotExist) && !f.local {
			continue
		}
		if err != nil {
			return nil, note, fmt.Errorf("%s cannot be read without git", f.path)
		}
		for _, s := range settings {
			if s.section == "include" || s.section == "includeif" ||
				s.section == "extensions" && s.key == "worktreeconfig" && s.value == "true" {
				note = "no git program found: kb read the repository itself, but not what its configuration includes"
			}
		}
		all = append(all, settings...)
	}
	return all, note, nil
}

type configFile struct {
	path  string
	local bool
}

func (f configFile) read() (settings []setting, err error) {
	if f.path == os.DevNull {
		return nil, nil
	}
	data, err := readRegular(f.path, maxConfig)
	if err != nil {
		return nil, err
	}
	defer func() { // the parser was not written for hostile text
		if p := recover(); p != nil {
			settings, err = nil, errConfigFailed
		}
	}()
	parsed := config.New()
	if err := config.NewDecoder(bytes.NewReader(data)).Decode(parsed); err != nil {
		return nil, errConfigFailed
	}
	for _, s := range parsed.Sections {
		section := strings.ToLower(s.Name)
		add := func(name string, named bool, options config.Options) {
			for _, o := range options {
				settings = append(settings, setting{
					section: section, name: name, named: named, key: strings.ToLower(o.Key), value: o.Value, local: f.local,
				})
			}
		}
		add("", false, s.Options)
		for _, sub := range s.Subsections {
			add(sub.Name, true, sub.Options)
		}
	}
	return settings, nil
}

// ownRepository is git's test of ownership (setup.c, ensure_valid_ownership)
// without its exceptions: worktree and git directory belong to this user.
func ownRepository(l *layout) error {
	for _, path := range [...]string{l.root, l.gitDir, l.commonDir} {
		fi, err := os.Lstat(path)
		if err != nil {
			return errForeign
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
			return errForeign
		}
	}
	return nil
}
