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
var programs = map[string]func(){"kb": main, "browse": browse, "typing": typing, "crash": crash}

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

// raced are the scripts that run under the race detector: what sessions, logins
// and several writers do at once.
var raced = []string{"audit", "exec", "login", "several_vaults", "traced", "which"}

// plainRun leaves a test to the run without the race detector.
func plainRun(t *testing.T) {
	t.Helper()
	if testkit.RaceEnabled {
		t.Skip("skipped: starts kb often, and runs without the race detector")
	}
}

// TestScripts runs testdata/script/*.txtar: one script a verb. Each has a home
// of its own and no variable of the test's.
//
// Under the race detector a kb takes half a second to start, and scripts start
// it some hundreds of times. All but a few are left to the plain run, which CI
// makes of this package too: the rooms behind the verbs are tested under the
// detector themselves.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, needsLab)
	if testkit.RaceEnabled {
		all := len(files)
		files = slices.DeleteFunc(files, func(path string) bool {
			return !slices.Contains(raced, strings.TrimSuffix(filepath.Base(path), ".txtar"))
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
