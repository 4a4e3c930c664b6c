package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"kb/internal/testkit"
)

// programs are what scripts and terminals can start: this test binary again,
// under another name.
var programs = map[string]func(){"kb": main, "browse": browse}

// TestMain runs the tests inside the test namespace, where servers have their
// names and certificates that every program believes.
func TestMain(m *testing.M) {
	if programs[filepath.Base(os.Args[0])] != nil {
		testscript.Main(m, programs)
	}
	testkit.Main(scripts{m})
}

// scripts runs the tests with the programs in PATH.
type scripts struct{ m *testing.M }

func (s scripts) Run() int {
	testscript.Main(s.m, programs) // ends the process
	return 0
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
	files = slices.DeleteFunc(files, needsLab)
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
		Setup: setUpHome,
	})
}

func setUpHome(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	env.Setenv("HOME", home)
	env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	env.Setenv("TERM", "dumb")
	return os.MkdirAll(home, 0o700)
}
