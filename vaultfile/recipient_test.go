package vaultfile

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"
)

const sshTest = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN"

// TestPlugin is what the test binary is called when it is an age plugin.
const TestPlugin = "age-plugin-kbtest"

// RunTestPlugin is an age plugin whose recipients hold an age recipient, to
// which it wraps.
func RunTestPlugin() int {
	p, err := plugin.New("kbtest")
	if err != nil {
		return 1
	}
	p.HandleRecipient(func(data []byte) (age.Recipient, error) {
		if os.Getenv("KB_TEST_PLUGIN_ASKS") != "" {
			if _, err := p.RequestValue("PIN", true); err != nil {
				return nil, err
			}
		}
		return age.ParseX25519Recipient(string(data))
	})
	p.RegisterFlags(flag.CommandLine)
	flag.Parse()
	return p.Main()
}

func installTestPlugin(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, TestPlugin)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func (l *lab) readable(t *testing.T, ids ...age.Identity) error {
	t.Helper()
	f, err := os.Open(l.path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := age.Decrypt(armor.NewReader(f), ids...)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err == nil && !bytes.Contains(b, []byte(`"vault_id"`)) {
		err = errors.New("something else is inside")
	}
	return err
}

func TestRecipientForms(t *testing.T) {
	x, _ := NewIdentity("x", nil)
	h, _ := NewHybridIdentity("h", nil)
	p := plugin.EncodeRecipient("kbtest", []byte(x.Recipient()))
	for in, want := range map[string]string{
		x.Recipient(): x.Recipient(), " " + h.Recipient() + "\n": h.Recipient(), p: p,
		sshTest: sshTest, sshTest + " me@laptop.example\n": sshTest,
	} {
		if got, err := NormalRecipient(in); err != nil || got != want {
			t.Errorf("NormalRecipient(%q) = %q, %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "age1", strings.ToUpper(x.Recipient()), x.Recipient() + "q", h.Recipient()[:500], "age1yubikey1qqqq",
		"ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ", "ecdsa-sha2-nistp256 AAAA", "sk-ssh-ed25519@openssh.com AAAA",
	} {
		if got, err := NormalRecipient(in); !errors.Is(err, ErrUnsupportedRecipient) {
			t.Errorf("NormalRecipient(%q) = %q, %v", in, got, err)
		}
	}
	if _, err := NormalRecipient(x.age.text); !errors.Is(err, ErrUnsupportedRecipient) || strings.Contains(err.Error(), x.age.text) {
		t.Errorf("a secret key in its place: %v", err)
	}
	if RecipientPlugin(p) != "kbtest" || RecipientPlugin(x.Recipient()) != "" || RecipientPlugin(sshTest) != "" {
		t.Error("RecipientPlugin")
	}
}

// An ssh key reads the vault with age, is no device, and cannot be one.
func TestSSHRecipientReads(t *testing.T) {
	l := newLab(t)
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	line, err := NormalRecipient(string(ssh.MarshalAuthorizedKey(key)))
	if err != nil {
		t.Fatal(err)
	}
	id, err := agessh.NewEd25519Identity(private)
	if err != nil {
		t.Fatal(err)
	}
	if l.readable(t, id) == nil {
		t.Error("it reads the vault before it was added")
	}
	l.edit("a", func(tx *Tx) error { return tx.AddRecovery("ssh", line) })
	if err := l.readable(t, id); err != nil {
		t.Errorf("age's library with the ssh key: %v", err)
	}
	l.open("b")
	l.edit("b", note1("the next save, by another device"))
	if err := l.readable(t, id); err != nil {
		t.Errorf("after the next save: %v", err)
	}
	if _, err := Edit(context.Background(), l.path, l.ids["a"], l.mems["a"], func(tx *Tx) error {
		return tx.PutDevice(Device{ID: "00000000000000aa", Name: "x", Recipient: line, SignKey: public, Kind: KindDevice})
	}); !errors.Is(err, ErrUnsupportedRecipient) {
		t.Errorf("an ssh key as a device: %v", err)
	}

	program, err := exec.LookPath("age")
	if err != nil {
		t.Skip("skipped: age is not installed; its library was asked")
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "id_ed25519")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "-d", "-i", file, l.path).Output()
	if err != nil || !bytes.Contains(out, []byte("the next save, by another device")) {
		t.Errorf("age -d -i id_ed25519: %v, %d bytes", err, len(out))
	}
}

func TestPluginRecipient(t *testing.T) {
	l := newLab(t)
	key, err := newAgeKey(false)
	if err != nil {
		t.Fatal(err)
	}
	recipient := plugin.EncodeRecipient("kbtest", []byte(key.public))
	add := func(ctx context.Context) error {
		_, err := Edit(ctx, l.path, l.ids["a"], l.mems["a"], func(tx *Tx) error { return tx.AddRecovery("token", recipient) })
		return err
	}
	before, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	var missing *PluginError
	if err := add(context.Background()); !errors.As(err, &missing) || !missing.Missing() || missing.Plugin != "kbtest" || missing.Device != "token" ||
		!strings.Contains(err.Error(), "age-plugin-kbtest is not installed") {
		t.Errorf("without the plugin: %v", err)
	}
	if after, _ := os.ReadFile(l.path); !bytes.Equal(before, after) {
		t.Error("a save that failed wrote the vault")
	}
	installTestPlugin(t)
	if err := add(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := l.readable(t, key); err != nil {
		t.Errorf("the plugin's key: %v", err)
	}
	l.edit("a", note1("x")) // each save runs it
	if err := l.readable(t, key); err != nil {
		t.Errorf("the plugin's key after another save: %v", err)
	}

	// One that asks is answered by the UI that the context brings, or fails.
	t.Setenv("KB_TEST_PLUGIN_ASKS", "1")
	edit := func(ctx context.Context) error {
		_, err := Edit(ctx, l.path, l.ids["a"], l.mems["a"], note1(fmt.Sprint(ctx)))
		return err
	}
	var failed *PluginError
	if err := edit(context.Background()); !errors.As(err, &failed) || failed.Missing() {
		t.Errorf("a plugin that asks where nobody answers: %v", err)
	}
	asked := ""
	ui := &plugin.ClientUI{RequestValue: func(_, prompt string, secret bool) (string, error) {
		asked = fmt.Sprint(prompt, " ", secret)
		return "1234", nil
	}}
	if err := edit(WithPluginUI(context.Background(), ui)); err != nil || asked != "PIN true" {
		t.Errorf("a plugin that asks: %v, asked %q", err, asked)
	}
}

// age mixes no post-quantum keys with others: kb says so before age would.
func TestKindsOfKeysAreNotMixed(t *testing.T) {
	for _, pq := range []bool{false, true} {
		id, err := newIdentity("first", nil, pq)
		if err != nil {
			t.Fatal(err)
		}
		path, mem := filepath.Join(t.TempDir(), "vault.age"), NewMemory()
		if _, err := Create(context.Background(), path, id, mem, Options{}); err != nil {
			t.Fatal(err)
		}
		add := func(other *Identity) error {
			_, err := Edit(context.Background(), path, id, mem, func(tx *Tx) error {
				return tx.PutDevice(Device{ID: other.id, Name: "other", Recipient: other.Recipient(), SignKey: other.SignKey(), Kind: KindDevice})
			})
			return err
		}
		wrong, _ := newIdentity("wrong", nil, !pq)
		var mix *MixError
		if err := add(wrong); !errors.As(err, &mix) || mix.PostQuantum != pq || mix.Name != "other" {
			t.Errorf("post-quantum %v: the other kind: %v", pq, err)
		}
		right, _ := newIdentity("right", nil, pq)
		if err := add(right); err != nil {
			t.Errorf("post-quantum %v: control: %v", pq, err)
		}
		_, err = Edit(context.Background(), path, id, mem, func(tx *Tx) error { return tx.AddRecovery("ssh", sshTest) })
		if mixed := errors.As(err, &mix); mixed != pq || !pq && err != nil {
			t.Errorf("post-quantum %v: an ssh key: %v", pq, err)
		}
		_, ci, err := AddCI(context.Background(), path, id, mem, "job")
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseCI([]byte(ci.Text().Reveal()))
		if err != nil || again.Identity.PostQuantum() != pq {
			t.Errorf("post-quantum %v: its job: %v", pq, err)
			continue
		}
		if _, err := OpenCI(context.Background(), path, again); err != nil {
			t.Errorf("post-quantum %v: its job opens: %v", pq, err)
		}
		if text := id.Text().Reveal(); strings.Contains(text, "AGE-SECRET-KEY-PQ-1") != pq {
			t.Errorf("post-quantum %v: the identity file is of the other kind", pq)
		} else if got, err := ParseIdentity([]byte(text)); err != nil || got.Text().Reveal() != text {
			t.Errorf("post-quantum %v: %v", pq, err)
		}
	}
}

// A plugin says only when it wraps what kind its keys are: age's refusal then
// is kb's.
func TestPluginOfTheWrongKind(t *testing.T) {
	installTestPlugin(t)
	id, err := NewHybridIdentity("first", nil)
	if err != nil {
		t.Fatal(err)
	}
	path, mem := filepath.Join(t.TempDir(), "vault.age"), NewMemory()
	if _, err := Create(context.Background(), path, id, mem, Options{}); err != nil {
		t.Fatal(err)
	}
	key, err := newAgeKey(false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Edit(context.Background(), path, id, mem, func(tx *Tx) error {
		return tx.AddRecovery("token", plugin.EncodeRecipient("kbtest", []byte(key.public)))
	})
	var mix *MixError
	if !errors.As(err, &mix) || !mix.PostQuantum {
		t.Errorf("a plugin's classic key in a post-quantum vault: %v", err)
	}
}
