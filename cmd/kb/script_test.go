package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kb": main})
}

// TestScripts runs testdata/script/*.txtar: one script a verb. Each has a home
// of its own and no variable of the test's.
//
// Under the race detector a kb takes half a second to start, and the scripts of
// devices and git start hundreds. They are left to the plain run: the rooms
// behind them (vaultfile, internal/broker, internal/vaultrepo) are tested under
// the detector themselves.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	if raceEnabled {
		all := len(files)
		files = slices.DeleteFunc(files, func(path string) bool {
			verb := filepath.Base(path)
			return strings.HasPrefix(verb, "vault_") || strings.HasPrefix(verb, "sync") || strings.HasPrefix(verb, "device_")
		})
		t.Logf("%d of %d scripts run under the race detector", len(files), all)
	}
	testscript.Run(t, testscript.Params{
		Files: files,
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"adddevice": addDevice},
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
			env.Setenv("TERM", "dumb")
			return os.MkdirAll(home, 0o700)
		},
	})
}
