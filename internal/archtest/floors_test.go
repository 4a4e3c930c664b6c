package archtest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// room is one package's place. Names are import paths without "kb/".
type room struct {
	floor int
	// only lists what the room may import of kb, instead of every room on a
	// lower floor.
	only []string
	// also lists what it may import besides, with the reason in a comment.
	also []string
	// test rooms are imported by tests and by each other, never by what is
	// installed.
	test bool
}

// floors is who may import whom: a room may import the rooms of lower floors,
// never one of its own floor. A package that is not here fails the test.
var floors = map[string]room{
	"cmd/kb": {floor: 4},

	"tui": {floor: 3, only: []string{"profile", "internal/audit", "internal/hint", "internal/plain", "internal/secret"}},
	// The desk is what the dashboard works at: the broker, the sessions' sockets
	// and the audit, as the Backend that tui declares.
	"internal/desk": {floor: 3, also: []string{"tui", "internal/doctor"}},
	// The doctor looks at all that the broker and the sessions use, and stands
	// above them. The dashboard shows what it finds.
	"internal/doctor": {floor: 3},
	"internal/supervisor": {floor: 3, only: []string{
		"proxy", "internal/sandbox", "internal/control", "internal/audit",
		"internal/hint", "internal/plain",
	}},
	// The demo is a kb exec against servers of its own, so it stands beside
	// the supervisor and uses it.
	"internal/demo": {floor: 3, also: []string{"internal/supervisor"}},

	"internal/broker": {floor: 2, only: []string{
		"vaultfile", "providers", "proxy", "profile",
		"internal/oauth", "internal/refresh", "internal/state", "internal/audit", "internal/secretref", "internal/clientenv",
		"internal/control", "internal/policy", "internal/adopt", "internal/vaultrepo",
		"internal/secret", "internal/hint", "internal/plain", "internal/atomicfile",
	}},

	"vaultfile":      {floor: 1},
	"providers":      {floor: 1},
	"proxy":          {floor: 1},
	"internal/adopt": {floor: 1},
	"internal/oauth": {floor: 1},
	// The engine is between the protocol and the shelf, and is theirs alone.
	"internal/refresh":   {floor: 1, also: []string{"internal/oauth", "internal/state"}},
	"internal/audit":     {floor: 1},
	"internal/state":     {floor: 1},
	"internal/sandbox":   {floor: 1},
	"internal/control":   {floor: 1},
	"internal/term":      {floor: 1},
	"internal/secretref": {floor: 1},
	"internal/clientenv": {floor: 1},
	// The repository deals in paths and bytes, and knows no vault.
	"internal/vaultrepo": {floor: 1, only: []string{"internal/atomicfile"}},

	// The bottom: no clock, no globals, nothing of kb above them. A profile
	// may hold a secret's type but no rule about it.
	"profile":             {floor: 0, also: []string{"internal/secret", "internal/plain"}},
	"internal/secret":     {floor: 0},
	"internal/hint":       {floor: 0},
	"internal/policy":     {floor: 0},
	"internal/plain":      {floor: 0},
	"internal/atomicfile": {floor: 0},

	"internal/testkit":   {floor: 4, test: true},
	"internal/golden":    {floor: 4, test: true},
	"internal/faultdisk": {floor: 4, test: true},
	"internal/screen":    {floor: 4, test: true},
	"internal/e2e":       {floor: 4, test: true},
	"internal/archtest":  {floor: 4, test: true},
}

// within reports whether path is the room called name or a package inside it.
func within(path, name string) bool {
	return path == name || strings.HasPrefix(path, name+"/")
}

// roomOf finds the room that a package belongs to: its own, or the one whose
// folder it is in.
func roomOf(table map[string]room, path string) (name string, r room, ok bool) {
	for n, candidate := range table {
		if within(path, n) && len(n) > len(name) {
			name, r, ok = n, candidate, true
		}
	}
	return name, r, ok
}

// edge says why from must not import to, or "".
func edge(table map[string]room, from, to string, inTest bool) string {
	fromName, f, ok := roomOf(table, from)
	if !ok {
		return fmt.Sprintf("kb/%s has no place in the floors table", from)
	}
	toName, t, ok := roomOf(table, to)
	if !ok {
		return fmt.Sprintf("kb/%s has no place in the floors table", to)
	}
	switch {
	case fromName == toName:
		return ""
	case t.test && !f.test && !inTest:
		return fmt.Sprintf("kb/%s imports kb/%s, which is for tests only", from, to)
	case f.test || inTest:
		return ""
	case slices.Contains(f.also, toName):
		return ""
	case f.only != nil && !slices.Contains(f.only, toName):
		return fmt.Sprintf("kb/%s imports kb/%s, which is not on its list", from, to)
	case f.floor <= t.floor:
		return fmt.Sprintf("kb/%s (floor %d) imports kb/%s (floor %d)", from, f.floor, to, t.floor)
	}
	return ""
}

func TestFloors(t *testing.T) {
	seen := map[string]bool{}
	for _, goos := range []string{"linux", "darwin"} {
		for _, p := range listPackages(t, goos) {
			from := strings.TrimPrefix(p.ImportPath, "kb/")
			check := func(imports []string, inTest bool) {
				for _, i := range imports {
					to, ours := strings.CutPrefix(i, "kb/")
					if !ours {
						continue
					}
					if why := edge(floors, from, to, inTest); why != "" && !seen[why] {
						seen[why] = true
						t.Error(why)
					}
				}
			}
			if _, _, ok := roomOf(floors, from); !ok {
				t.Errorf("kb/%s has no place in the floors table", from)
			}
			check(p.Imports, false)
			check(p.TestImports, true)
			check(p.XTestImports, true)
		}
	}
}

// TestNothingForTestsIsInstalled looks at all that cmd/kb pulls in, also by
// detours.
func TestNothingForTestsIsInstalled(t *testing.T) {
	byPath := map[string]goPackage{}
	for _, p := range listPackages(t, "linux") {
		byPath[p.ImportPath] = p
	}
	main, ok := byPath["kb/cmd/kb"]
	if !ok {
		t.Skip("skipped: there is no cmd/kb yet")
	}
	installed := append(slices.Clone(main.Deps), main.ImportPath)
	for _, path := range installed {
		if _, r, ok := roomOf(floors, strings.TrimPrefix(path, "kb/")); ok && r.test && strings.HasPrefix(path, "kb/") {
			t.Errorf("cmd/kb installs %s, which is for tests only", path)
		}
		switch path {
		case "testing", "net/http/httptest", "net/http/pprof", "expvar":
			t.Errorf("cmd/kb installs %s", path)
		}
	}
}

func TestEdgesAreRefused(t *testing.T) {
	for _, c := range []struct {
		from, to string
		inTest   bool
		want     string // a part of the complaint; empty means allowed
	}{
		{"cmd/kb", "internal/broker", false, ""},
		{"internal/broker", "proxy", false, ""},
		{"internal/broker", "internal/broker/sub", false, ""},
		{"proxy", "internal/secret", false, ""},
		{"vaultfile", "profile", false, ""},
		{"proxy", "internal/testkit", true, ""},
		{"internal/testkit", "vaultfile", false, ""},
		{"internal/demo", "internal/supervisor", false, ""},
		{"profile", "internal/secret", false, ""},

		{"proxy", "vaultfile", false, "floor 1"},
		{"internal/audit", "internal/state", false, "floor 1"},
		{"profile", "vaultfile", false, "floor 0"},
		{"internal/secret", "internal/hint", false, "floor 0"},
		{"proxy", "internal/broker", false, "floor 2"},
		{"internal/broker", "internal/supervisor", false, "not on its list"},
		{"internal/supervisor", "vaultfile", false, "not on its list"},
		{"tui", "internal/broker", false, "not on its list"},
		{"internal/broker", "cmd/kb", false, "not on its list"},
		{"cmd/kb", "internal/testkit", false, "tests only"},
		{"proxy", "internal/golden", false, "tests only"},
		{"proxy", "internal/helpers", false, "no place"},
	} {
		got := edge(floors, c.from, c.to, c.inTest)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("edge %s -> %s (in a test: %v) = %q, want %q", c.from, c.to, c.inTest, got, c.want)
		}
	}
}
