package e2e

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kb/internal/state"
	"kb/internal/testkit"
	"kb/vaultfile"
)

// mergePairs is how many pairs of edits are made; without KB_THOROUGH=1, the first
// of them are tried.
const (
	mergePairs = 200
	mergeQuick = 20
)

// mergeSeed makes the pairs. KB_MERGE_SEED makes others.
const mergeSeed = 20261126

// TestMergeEqualsModel has two clones of a repository edit the vault without
// knowing of each other, come together by git, and hold what the model says.
func TestMergeEqualsModel(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("skipped: no git")
	}
	seed := uint64(mergeSeed)
	if text := os.Getenv("KB_MERGE_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	w := newMergeWorld(t, git)
	g := newGenerator(seed, startingLedger())
	var pairs []*pair
	for n := range mergePairs {
		pairs = append(pairs, g.next(n))
	}
	missing := g.counts.print(t)
	t.Logf("seed %d", seed)
	for _, m := range missing {
		t.Errorf("never met in %d pairs: %s", len(pairs), m)
	}
	if os.Getenv("KB_THOROUGH") != "1" {
		t.Logf("%d of %d pairs; all with KB_THOROUGH=1", mergeQuick, len(pairs))
		pairs = pairs[:mergeQuick]
	}
	equal, conflicts, apart, byWay := make([]bool, len(pairs)), make([]int, len(pairs)), make([]int, len(pairs)), map[string]int{}
	t.Run("pairs", func(t *testing.T) {
		for i, p := range pairs {
			byWay[p.way]++
			if p.typed {
				byWay["typed"]++
			}
			t.Run(fmt.Sprint(p.n), func(t *testing.T) {
				t.Parallel()
				conflicts[i] = w.try(t, p)
				for _, d := range p.turns {
					apart[i] += len(d.writes)
				}
				equal[i] = !t.Failed()
				if t.Failed() {
					t.Logf("seed %d, %v", seed, p)
				}
			})
		}
	})
	n, total, with, writes := 0, 0, 0, 0
	for i := range pairs {
		if equal[i] {
			n++
		}
		if total += conflicts[i]; conflicts[i] > 0 {
			with++
		}
		writes += apart[i]
	}
	t.Logf("%d of %d pairs equal the model (%d by merge, %d by rebase, %d crossed; %d by kb's commands); %d writes, %d conflicts in %d pairs",
		n, len(pairs), byWay["merge"], byWay["rebase"], byWay["crossed"], byWay["typed"], writes, total, with)
}

// startingLedger is the vault that each pair starts from.
func startingLedger() ledger {
	l := ledger{
		"profile/work":              {"git_name": "W", "git_email": "w@example.com", "also": "bot ci lab", "expect.linear": "w", "expect.openai": "w-ai"},
		"profile/oss":               {"git_name": "O", "git_email": "o@example.com", "also": "bot infra", "expect.linear": "o"},
		"profile/bare":              {},
		"rule/r1":                   {"select": "work git.example.com/work/*"},
		"rule/r2":                   {"select": "oss git.example.com/oss/*"},
		"login/work/linear":         {"credential": "key-a", "created": "1700000001"},
		"login/work/openai":         {"credential": "key-b", "created": "1700000002"},
		"login/work/linear/nightly": {"credential": "key-c", "created": "1700000003"},
		"login/oss/linear":          {"credential": "key-d", "created": "1700000004"},
		setting:                     {"value": "work"},
		"device/a":                  {"name": "laptop"},
		"device/b":                  {"name": "desk"},
		"device/c":                  {"name": "tablet"},
		"device/d":                  {"name": "attic"},
		"client/linear":             {"registration": "id-1 secret-1"},
		"client/forge":              {"registration": "id-2 secret-2"},
	}
	g := &generator{}
	for _, name := range []string{"provider/forge", "provider/files"} {
		l.apply(g.definition(name).writes...)
	}
	return l
}

// mergeWorld is what all pairs start from: a bare repository with a vault in
// it, and two clones in which kb vault setup-git was run.
type mergeWorld struct {
	git, kb  string
	ids      map[string]*vaultfile.Identity // "device/a" and so on
	template string                         // folder of origin.git, a and b
	vault    *vaultfile.File
}

func newMergeWorld(t *testing.T, git string) *mergeWorld {
	w := &mergeWorld{git: git, kb: testkit.BuildKB(t), ids: map[string]*vaultfile.Identity{}, template: t.TempDir()}
	base := startingLedger()
	for _, record := range records(base, "device/") {
		id, err := vaultfile.NewIdentity(base[record]["name"], nil)
		if err != nil {
			t.Fatal(err)
		}
		w.ids[record] = id
	}
	path := filepath.Join(w.template, "a", "vault.age")
	must(t, os.Mkdir(filepath.Dir(path), 0o700))
	memory := vaultfile.NewMemory()
	_, err := vaultfile.Create(t.Context(), path, w.ids["device/a"], memory, vaultfile.Options{})
	must(t, err)
	names := newNames(w.ids)
	w.vault, err = vaultfile.Edit(t.Context(), path, w.ids["device/a"], memory, func(tx *vaultfile.Tx) error {
		for _, record := range slices.Sorted(maps.Keys(base)) {
			if record == "device/a" {
				continue
			}
			if err := put(tx, names, record, base[record]); err != nil {
				return fmt.Errorf("%s: %w", record, err)
			}
		}
		return nil
	})
	must(t, err)

	home := testkit.NewHome(t)
	run := func(dir string, args ...string) {
		t.Helper()
		command(t, home.Env, filepath.Join(w.template, dir), "", git, args...)
	}
	run("a", "init", "-q", "-b", "main")
	run(".", "init", "-q", "-b", "main", "--bare", "origin.git")
	for _, side := range sides {
		if side == "b" {
			run(".", "clone", "-q", "origin.git", "b")
		}
		for key, value := range map[string]string{
			"user.name": side, "user.email": side + "@example.com", "pull.rebase": "false",
			// Nothing that only costs time here.
			"gc.auto": "0", "maintenance.auto": "false", "core.fsync": "none", "fetch.recurseSubmodules": "false",
		} {
			run(side, "config", key, value)
		}
		device := w.device(t, w.template, side)
		command(t, device.env, device.clone, "", w.kb, "vault", "setup-git")
		if side == "a" {
			run("a", "remote", "add", "origin", "../origin.git")
			run("a", "add", ".")
			run("a", "commit", "-q", "-m", "vault")
			run("a", "push", "-q", "-u", "origin", "main")
		} else {
			run("b", "remote", "set-url", "origin", "../origin.git")
		}
	}
	return w
}

var sides = [2]string{"a", "b"}

// A mergeDevice is one side: a home with an identity, and a clone.
type mergeDevice struct {
	id           *vaultfile.Identity
	memory       *state.VaultMemory
	clone, vault string
	env          []string
}

func (w *mergeWorld) device(t *testing.T, dir, side string) *mergeDevice {
	t.Helper()
	home := testkit.NewHome(t)
	d := &mergeDevice{id: w.ids["device/"+side], clone: filepath.Join(dir, side), env: home.With("GIT_CONFIG_NOSYSTEM=1")}
	d.vault = filepath.Join(d.clone, "vault.age")
	own := filepath.Join(home.Dir, ".local/state/kb")
	must(t, os.MkdirAll(own, 0o700))
	must(t, os.WriteFile(filepath.Join(own, "identity.txt"), []byte(d.id.Text().Reveal()), 0o600))
	store, err := state.Open(filepath.Join(own, "state"), d.id.DeriveKey("state"))
	must(t, err)
	must(t, store.PutVault(t.Context(), state.Vault{Name: "main", Path: d.vault, Default: true}))
	d.memory, err = store.VaultMemory("main")
	must(t, err)
	must(t, vaultfile.FirstTrust(t.Context(), d.memory, w.vault.ID(), w.ids["device/a"].ID(), w.ids["device/a"].SignKey()))
	d.open(t)
	return d
}

func (d *mergeDevice) open(t *testing.T) *vaultfile.File {
	t.Helper()
	f, err := vaultfile.Open(t.Context(), d.vault, d.id, d.memory)
	must(t, err)
	return f
}

// try makes the edits of a pair, has git bring the sides together, and holds
// the result against the model. It returns how many conflicts there were.
func (w *mergeWorld) try(t *testing.T, p *pair) int {
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(w.template)))
	both := [2]*mergeDevice{w.device(t, dir, "a"), w.device(t, dir, "b")}
	names := newNames(w.ids)
	now := [2]ledger{startingLedger(), startingLedger()}
	var last time.Time
	for _, turn := range p.turns {
		// A later edit is one of a later millisecond.
		for time.Now().UnixMilli() <= last.UnixMilli() {
		}
		d := both[turn.side]
		now[turn.side].apply(turn.writes...)
		if p.typed && turn.typed != nil {
			w.typed(t, d, names, turn.step)
		} else {
			_, err := vaultfile.Edit(t.Context(), d.vault, d.id, d.memory, func(tx *vaultfile.Tx) error {
				return change(tx, names, turn.writes, now[turn.side])
			})
			must(t, err)
		}
		last = time.Now()
		if p.way == "rebase" {
			w.commit(t, d)
		}
	}
	for side, d := range both {
		if p.way != "rebase" && len(p.deeds(side)) > 0 {
			w.commit(t, d)
		}
		if got, want := ledgerOf(d.open(t).Contents(), names, p.typed), bare(now[side], p.typed); !equalLedgers(got, want) {
			t.Fatalf("before the merge: side %s has not done what was said\n%s", sides[side], difference(got, want))
		}
	}
	a, b := both[0], both[1]
	if p.n%2 == 1 {
		a, b = b, a
	}
	switch p.way {
	case "merge", "rebase":
		w.run(t, a, "push", "-q")
		w.run(t, b, "pull", "-q", map[string]string{"merge": "--no-rebase", "rebase": "--rebase"}[p.way])
	case "crossed":
		// Each merges the other by itself, and then they merge the merges.
		w.run(t, a, "fetch", "-q", b.clone, "main")
		w.run(t, b, "fetch", "-q", a.clone, "main")
		w.run(t, a, "merge", "-q", "--no-edit", "FETCH_HEAD")
		w.run(t, b, "merge", "-q", "--no-edit", "FETCH_HEAD")
		w.check(t, p, a, names)
		w.check(t, p, b, names)
		w.run(t, a, "push", "-q")
		w.run(t, b, "pull", "-q", "--no-rebase", "--no-edit")
	}
	w.check(t, p, b, names)
	w.run(t, b, "push", "-q")
	w.run(t, a, "pull", "-q", "--ff-only")
	conflicts := w.check(t, p, a, names)

	mine, err := os.ReadFile(a.vault)
	must(t, err)
	theirs, err := os.ReadFile(b.vault)
	must(t, err)
	if !bytes.Equal(mine, theirs) {
		t.Error("both pulled, and the files differ")
	}
	return conflicts
}

// check holds what a device has against the model.
func (w *mergeWorld) check(t *testing.T, p *pair, d *mergeDevice, names *names) int {
	t.Helper()
	if left := w.run(t, d, "status", "--porcelain", "--untracked-files=no"); left != "" {
		t.Errorf("git is not done: %s", left)
	}
	f := d.open(t)
	if f.Unsaved() {
		t.Error("what git left is not the merge")
	}
	c := f.Contents()
	want, conflicts := merge(startingLedger(), p.deeds(0), p.deeds(1))
	var secrets []string
	for _, e := range f.Exposed() {
		secrets = append(secrets, names.model("device/"+e.Device)+" "+e.Type+"/"+e.Key)
	}
	slices.Sort(secrets)
	if wanted := exposed(startingLedger(), want, p.deeds(0), p.deeds(1)); !slices.Equal(secrets, wanted) {
		t.Errorf("to be rotated:\n  %q\nthe model has\n  %q", secrets, wanted)
	}
	got, want := ledgerOf(c, names, p.typed), bare(want, p.typed)
	if !equalLedgers(got, want) {
		t.Errorf("the merge differs from the model:\n%s", difference(got, want))
	}
	var found []string
	ids := slices.Sorted(slices.Values([]string{w.ids["device/a"].ID(), w.ids["device/b"].ID()}))
	for _, conflict := range c.Conflicts {
		found = append(found, conflict.Type+"/"+conflict.Key+" "+conflict.Field)
		var writers []string
		for _, v := range conflict.Versions {
			writers = append(writers, v.Device)
		}
		if slices.Sort(writers); !slices.Equal(writers, ids) {
			t.Errorf("conflict of %s/%s: versions of %q, want one of each side", conflict.Type, conflict.Key, writers)
		}
	}
	if slices.Sort(found); !slices.Equal(found, conflicts) {
		t.Errorf("conflicts %q, the model has %q", found, conflicts)
	}
	return len(found)
}

func (w *mergeWorld) commit(t *testing.T, d *mergeDevice) {
	t.Helper()
	w.run(t, d, "commit", "-q", "-a", "-m", "edit")
}

// run starts git as a person does: with no flags of kb's own.
func (w *mergeWorld) run(t *testing.T, d *mergeDevice, args ...string) string {
	t.Helper()
	return command(t, d.env, d.clone, "", w.git, args...)
}

// typed does a step by kb's own command.
func (w *mergeWorld) typed(t *testing.T, d *mergeDevice, names *names, s step) {
	t.Helper()
	args := slices.Clone(s.typed)
	if i := slices.Index(args, fileArgument); i >= 0 {
		args[i] = filepath.Join(t.TempDir(), "definition.toml")
		must(t, os.WriteFile(args[i], []byte(s.stdin), 0o600))
	}
	if args[0] == "rule" && args[1] == "rm" {
		args[2] = key(names.real("rule/" + args[2]))
	}
	before := d.open(t).Contents()
	command(t, d.env, d.clone, s.stdin, w.kb, args...)
	if args[0] == "rule" && args[1] == "add" {
		for _, r := range d.open(t).Contents().Rules {
			if !slices.Contains(before.Rules, r) {
				names.call(s.writes[0].record, "rule/"+r.ID)
			}
		}
	}
}

func command(t *testing.T, env []string, dir, stdin, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env, cmd.Stdin = dir, env, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", filepath.Base(program), args, err, out)
	}
	return string(out)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A rebase goes through versions of the vault that are older than what this
// device knows: there, a device that it has removed since is still in it. The
// merge of such a version must not stop git halfway.
func TestRebaseOverARemovedDevice(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("skipped: no git")
	}
	set := func(record, value string) step {
		return step{writes: []write{{record: record, field: "git_name", value: value}}}
	}
	newMergeWorld(t, git).try(t, &pair{way: "rebase", turns: []turn{
		{0, set("profile/work", "n1")},
		{1, set("profile/bare", "n2")},
		{1, step{writes: []write{{record: "device/d", gone: true}}}},
	}})
}
