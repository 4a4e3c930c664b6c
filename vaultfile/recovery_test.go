package vaultfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/secret"
)

// paper adds a recovery key to the lab, which who then forgets.
func (l *lab) paper(who string) (key secret.Value, id string) {
	l.t.Helper()
	p, err := NewPaper("paper", false)
	if err != nil {
		l.t.Fatal(err)
	}
	l.edit(who, func(tx *Tx) error { return tx.AddPaper(p) })
	return p.Key(), p.ID()
}

// recover has a machine that has nothing else use the paper.
func (l *lab) recover(key secret.Value, believe bool) (*Identity, Memory, error) {
	l.t.Helper()
	id, err := NewIdentity("new", nil)
	if err != nil {
		l.t.Fatal(err)
	}
	p, err := OpenPaper(context.Background(), l.path, key)
	if err != nil {
		return nil, nil, err
	}
	mem := NewMemory()
	_, err = p.Recover(context.Background(), id, mem, believe)
	return id, mem, err
}

func TestRecovery(t *testing.T) {
	l := newLab(t)
	key, paper := l.paper("a")
	l.open("b")
	l.edit("b", note1("made by a device of the chain, later"))
	id, mem, err := l.recover(secret.New(" "+strings.ToLower(key.Reveal()[:30])+"\n "+strings.ToLower(key.Reveal()[30:])), false)
	if err != nil {
		t.Fatal(err)
	}
	f := l.open("c") // a device that saw none of it
	if f.Signer() != paper || len(f.Trusted()) != 5 {
		t.Errorf("saved by %s, trusts %v", f.Signer(), f.Trusted())
	}
	if _, err := Edit(context.Background(), l.path, id, mem, note1("by the new one")); err != nil {
		t.Fatal(err)
	}
	c := l.open("a").Contents()
	if c.Setting("note") != "by the new one" {
		t.Errorf("a sees %q", c.Setting("note"))
	}
	if c.DeviceName(id.ID()) != "new" || c.DeviceName("00000000000000ff") != "00000000000000ff" {
		t.Error("DeviceName")
	}

	// All others are removed: the paper goes on leading to the new one, for
	// which it vouched itself.
	if _, err := Edit(context.Background(), l.path, id, mem, func(tx *Tx) error {
		for _, n := range []string{"a", "b", "c"} {
			if err := tx.DeleteDevice(l.ids[n].id); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.recover(key, false); err != nil {
		t.Errorf("again, with one device left: %v", err)
	}
}

func TestRecoveryOfAChainThatIsBroken(t *testing.T) {
	l := newLab(t)
	key, _ := l.paper("a") // vouches for a, b, c
	for _, n := range []string{"b", "c"} {
		l.open(n)
	}
	j := newJoiner(t, "d")
	if _, err := l.enter(j, l.approve("c", j.req)); err != nil {
		t.Fatal(err)
	}
	if _, err := Edit(context.Background(), l.path, j.id, j.mem, func(tx *Tx) error {
		for _, n := range []string{"a", "b", "c"} {
			if err := tx.DeleteDevice(l.ids[n].id); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPaper(context.Background(), l.path, key)
	if err != nil || !p.Broken || p.Signer.Name != "d" || p.VaultID != l.vault || p.Saved.IsZero() {
		t.Fatalf("%+v, %v", p, err)
	}
	before, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.recover(key, false); !errors.Is(err, ErrBrokenChain) {
		t.Errorf("without a person's word: %v", err)
	}
	if after, _ := os.ReadFile(l.path); !bytes.Equal(before, after) {
		t.Error("the vault was written all the same")
	}
	if _, _, err := l.recover(key, true); err != nil {
		t.Errorf("with it: %v", err)
	}
	if _, err := Open(context.Background(), l.path, j.id, j.mem); err != nil {
		t.Errorf("the device that was left: %v", err)
	}
	if _, _, err := l.recover(key, false); err != nil {
		t.Errorf("mended by that, but: %v", err)
	}
}

func TestPaperKeysThatAreRefused(t *testing.T) {
	l := newLab(t)
	key, paper := l.paper("a")
	for name, c := range map[string]struct {
		key  string
		want error
	}{
		"nothing":              {"", ErrPaper},
		"a recipient":          {l.ids["a"].Recipient(), ErrPaper},
		"a typo":               {strings.Replace(key.Reveal(), "1", "1Q", 1), ErrPaper},
		"of no vault":          {l.ids["mallory"].age.text, ErrWrongKey},
		"a device's own key":   {l.ids["b"].age.text, ErrPaperReads}, // its signing key is another
		"control: the paper's": {key.Reveal(), nil},
	} {
		_, err := OpenPaper(context.Background(), l.path, secret.New(c.key))
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		} else if err != nil && c.key != "" && strings.Contains(err.Error(), c.key) {
			t.Errorf("%s: the error quotes the key", name)
		}
	}
	reader, err := newAgeKey(false)
	if err != nil {
		t.Fatal(err)
	}
	l.edit("a", func(tx *Tx) error { return tx.AddRecovery("reader", reader.public) })
	if _, err := OpenPaper(context.Background(), l.path, secret.New(reader.text)); !errors.Is(err, ErrPaperReads) {
		t.Errorf("a recipient's key: %v", err)
	}
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(paper) })
	if _, err := OpenPaper(context.Background(), l.path, key); !errors.Is(err, ErrWrongKey) {
		t.Errorf("a paper that was removed: %v", err)
	}
}

// Whoever holds the git host serves a vault of his own to the machine that has
// nothing but the paper: without the paper's signature no chain begins there.
func TestAttackForgedVaultAtRecovery(t *testing.T) {
	l := newLab(t)
	key, paper := l.paper("a")
	var record Device
	for _, d := range l.open("a").Contents().Devices {
		if d.ID == paper {
			record = d
		}
	}
	onPaper, err := parseAgeKey(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	j := newJoiner(t, "x")
	j.id.age = onPaper // so that the forgery is encrypted to the paper
	forged := l.malloryVault(j, func(tx *Tx) {
		tx.p.records = append(tx.p.records[:0:0], tx.p.records...)
		if err := tx.remove("device", j.id.id); err != nil {
			t.Fatal(err)
		}
		tx.put("device", record.ID, encodeDevice(&record))
	})
	back := l.swapVault(forged)
	p, err := OpenPaper(context.Background(), l.path, key)
	if err != nil || !p.Broken {
		t.Fatalf("mallory's vault is taken for one that the paper leads to: %+v, %v", p, err)
	}
	if _, _, err := l.recover(key, false); !errors.Is(err, ErrBrokenChain) {
		t.Errorf("mallory's vault: %v", err)
	}
	if now, _ := os.ReadFile(l.path); !bytes.Equal(now, forged) {
		t.Error("something was saved into it")
	}
	back()
	if _, _, err := l.recover(key, false); err != nil {
		t.Errorf("control: %v", err)
	}
}

// A paper key that was removed signs nothing any more.
func TestAttackRemovedPaperSigns(t *testing.T) {
	l := newLab(t)
	key, paper := l.paper("a")
	age, err := parseAgeKey(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	id := &Identity{id: paper, name: "paper", age: age}
	id.signFromAge()
	l.forge(id, func(p *payload) { p.name = "signed by the paper" })
	l.open("a") // control: while it is there, it does
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(paper) })
	l.forge(id, func(p *payload) { p.name = "signed by the paper, later" })
	l.refused("a", ErrRemovedSigner)
}

// The paper's line alone is an identity of age.
func TestAgeOpensTheVaultWithThePaper(t *testing.T) {
	l := newLab(t)
	key, _ := l.paper("a")
	k, err := parseAgeKey(key.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.readable(t, k); err != nil {
		t.Errorf("age's library: %v", err)
	}
	program, err := exec.LookPath("age")
	if err != nil {
		t.Skip("skipped: age is not installed; its library was asked")
	}
	file := filepath.Join(t.TempDir(), "paper.txt")
	if err := os.WriteFile(file, []byte("# a comment\n"+key.Reveal()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "-d", "-i", file, l.path).Output(); err != nil || !bytes.Contains(out, []byte(l.vault)) {
		t.Errorf("age -d -i paper.txt: %v", err)
	}
}

func TestPaperOfAPostQuantumVault(t *testing.T) {
	id, err := NewHybridIdentity("first", nil)
	if err != nil {
		t.Fatal(err)
	}
	path, mem := filepath.Join(t.TempDir(), "vault.age"), NewMemory()
	if _, err := Create(context.Background(), path, id, mem, Options{}); err != nil {
		t.Fatal(err)
	}
	paper, err := NewPaper("paper", true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Edit(context.Background(), path, id, mem, func(tx *Tx) error { return tx.AddPaper(paper) }); err != nil {
		t.Fatal(err)
	}
	p, err := OpenPaper(context.Background(), path, paper.Key())
	if err != nil || !p.PostQuantum() {
		t.Fatalf("%v", err)
	}
	wrong, _ := NewIdentity("new", nil)
	var mix *MixError
	if _, err := p.Recover(context.Background(), wrong, NewMemory(), false); !errors.As(err, &mix) {
		t.Errorf("with an identity of the other kind: %v", err)
	}
	right, _ := NewHybridIdentity("new", nil)
	if _, err := p.Recover(context.Background(), right, NewMemory(), false); err != nil {
		t.Error(err)
	}
}
