package vaultfile_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"kb/internal/secret"
	"kb/vaultfile"
)

func newIdentity(t testing.TB, name string) *vaultfile.Identity {
	t.Helper()
	id, err := vaultfile.NewIdentity(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestIdentityText(t *testing.T) {
	id := newIdentity(t, "Läptop 1")
	text := id.Text().Reveal()
	for name, in := range map[string]string{
		"as it is": text, "with CRLF": strings.ReplaceAll(text, "\n", "\r\n"), "without the last newline": strings.TrimSpace(text), "with white space around": "\n " + text + "\n\n",
	} {
		got, err := vaultfile.ParseIdentity([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Text().Reveal() != text || got.ID() != id.ID() || got.Name() != id.Name() || !bytes.Equal(got.SignKey(), id.SignKey()) {
			t.Errorf("%s: it is another identity", name)
		}
	}
	line := func(prefix, with string) string {
		var out []string
		for l := range strings.Lines(text) {
			if strings.HasPrefix(l, prefix) {
				l = with
			}
			out = append(out, l)
		}
		return strings.Join(out, "")
	}
	other := newIdentity(t, "x")
	for name, in := range map[string]string{
		"nothing":             "",
		"a bare age identity": text[strings.Index(text, "AGE-SECRET"):],
		"no device":           line("# device", ""),
		"short device":        line("# device", "# device: 12\n"),
		"no name":             line("# name", ""),
		"empty name":          line("# name", "# name: \n"),
		"bad time":            line("# created", "# created: yesterday\n"),
		"no public key":       line("# public", ""),
		"other public key":    line("# public", "# public key: "+other.Recipient()+"\n"),
		"no signing key":      line("# signing", ""),
		"short signing key":   line("# signing", "# signing key: AAAA\n"),
		"no secret key":       line("AGE-", ""),
		"damaged secret key":  strings.Replace(text, "AGE-SECRET-KEY-1", "AGE-SECRET-KEY-1Q", 1),
		"more":                text + "# more: 1\n",
		"order":               line("# name", "") + "# name: x\n",
		"huge":                text + strings.Repeat("#", 2<<20),
	} {
		_, err := vaultfile.ParseIdentity([]byte(in))
		if !errors.Is(err, vaultfile.ErrBadIdentity) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the error quotes the key", name)
		}
	}
	for _, name := range []string{"", " x", "a\nb", "a\x1b[31m", strings.Repeat("x", 200)} {
		if _, err := vaultfile.NewIdentity(name, nil); !errors.Is(err, vaultfile.ErrInvalid) {
			t.Errorf("device name %q: %v", name, err)
		}
	}
}

// The way out of kb: age alone opens a vault with the identity file.
func TestAgeAloneOpensTheVault(t *testing.T) {
	w := newWorld(t)
	w.edit(t, func(tx *vaultfile.Tx) error { return putAll(tx, everything()) })
	pass := secret.New("correct horse")
	wrapped, err := w.id.Wrap(pass, 4)
	if err != nil {
		t.Fatal(err)
	}
	scrypt, err := age.NewScryptIdentity("correct horse")
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(wrapped)), scrypt)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]io.Reader{"identity.txt": strings.NewReader(w.id.Text().Reveal()), "identity.age": r} {
		ids, err := age.ParseIdentities(text)
		if err != nil || len(ids) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		f, err := os.Open(w.path)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := age.Decrypt(armor.NewReader(f), ids...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		b, err := io.ReadAll(plain)
		if err != nil || !bytes.Contains(b, []byte(`"toml":"name = \"acme\"\n\thosts = []\n"`)) {
			t.Errorf("%s: %v, %d bytes", name, err, len(b))
		}
		_ = f.Close()
	}
}

func TestWrappedIdentity(t *testing.T) {
	id := newIdentity(t, "laptop")
	wrapped, err := id.Wrap(secret.New("correct horse"), 4)
	if err != nil {
		t.Fatal(err)
	}
	if !vaultfile.IsWrapped(wrapped) || vaultfile.IsWrapped([]byte(id.Text().Reveal())) {
		t.Error("IsWrapped does not tell them apart")
	}
	got, err := vaultfile.Unwrap(wrapped, secret.New("correct horse"))
	if err != nil || got.Text().Reveal() != id.Text().Reveal() {
		t.Errorf("unwrapped: %v", err)
	}
	for _, wrong := range []string{"Correct horse", ""} {
		if _, err := vaultfile.Unwrap(wrapped, secret.New(wrong)); !errors.Is(err, vaultfile.ErrPassphrase) {
			t.Errorf("passphrase %q: %v", wrong, err)
		}
	}
	if _, err := id.Wrap(secret.Value{}, 4); !errors.Is(err, vaultfile.ErrInvalid) {
		t.Errorf("empty passphrase: %v", err)
	}
	for i := 0; i < len(wrapped); i += 7 {
		b := bytes.Clone(wrapped)
		b[i] ^= 1
		if _, err := vaultfile.Unwrap(b, secret.New("correct horse")); err == nil {
			t.Errorf("flipped at %d, it opens", i)
		}
	}
	w := newWorld(t)
	vault, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Unwrap(vault, secret.New("correct horse")); !errors.Is(err, vaultfile.ErrPassphrase) && !errors.Is(err, vaultfile.ErrBadIdentity) {
		t.Errorf("a vault in place of an identity: %v", err)
	}
}

// The default work factor is age's own; a planted file cannot ask for more
// than a gigabyte.
func TestWorkFactor(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped with -short: scrypt takes a second")
	}
	id := newIdentity(t, "laptop")
	wrapped, err := id.Wrap(secret.New("x"), 0)
	if err != nil {
		t.Fatal(err)
	}
	bin, err := io.ReadAll(armor.NewReader(bytes.NewReader(wrapped)))
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(bin[:120])); len(f) < 5 || f[2] != "scrypt" || f[4] != "18" {
		t.Errorf("the header is %q", f)
	}
	if _, err := id.Wrap(secret.New("x"), 21); !errors.Is(err, vaultfile.ErrInvalid) {
		t.Errorf("work factor 21: %v", err)
	}
}

func TestDeriveKey(t *testing.T) {
	a, b := newIdentity(t, "a"), newIdentity(t, "b")
	again, err := vaultfile.ParseIdentity([]byte(a.Text().Reveal()))
	if err != nil {
		t.Fatal(err)
	}
	if a.DeriveKey("state") != again.DeriveKey("state") {
		t.Error("a key does not stay the same")
	}
	if a.DeriveKey("state") == a.DeriveKey("audit") || a.DeriveKey("state") == b.DeriveKey("state") {
		t.Error("keys of different labels or identities are the same")
	}
}

func FuzzParseIdentity(f *testing.F) {
	f.Add([]byte(newIdentity(f, "laptop").Text().Reveal()))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, err := vaultfile.ParseIdentity(b)
		if err != nil {
			return
		}
		again, err := vaultfile.ParseIdentity([]byte(id.Text().Reveal()))
		if err != nil || again.Text().Reveal() != id.Text().Reveal() {
			t.Fatalf("it does not read what it writes: %v", err)
		}
	})
}

func TestCI(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	f, job, err := vaultfile.AddCI(ctx, w.path, w.id, w.mem, "build")
	if err != nil {
		t.Fatal(err)
	}
	if job.VaultID != f.ID() || job.Floor.Compare(f.Clock()) != vaultfile.Equal {
		t.Errorf("the job knows vault %s at %v", job.VaultID, job.Floor)
	}
	text := job.Text().Reveal()
	if !vaultfile.IsCI([]byte(text)) || vaultfile.IsCI([]byte(w.id.Text().Reveal())) {
		t.Error("IsCI does not tell them apart")
	}
	job, err = vaultfile.ParseCI([]byte(strings.TrimSpace(text)))
	if err != nil || job.Text().Reveal() != text {
		t.Fatalf("parsed: %v", err)
	}
	if _, err := vaultfile.OpenCI(ctx, w.path, job); err != nil {
		t.Errorf("the very vault that it was added to: %v", err)
	}
	old, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	// It opens what comes later, and writes nothing.
	w.edit(t, func(tx *vaultfile.Tx) error { return putAll(tx, everything()) })
	g, err := vaultfile.OpenCI(ctx, w.path, job)
	if err != nil {
		t.Fatal(err)
	}
	if c := g.Contents(); len(c.Logins) != 3 {
		t.Errorf("it sees %d logins", len(c.Logins))
	}
	if _, err := vaultfile.Edit(ctx, w.path, job.Identity, job.Memory(), func(tx *vaultfile.Tx) error {
		return tx.PutSetting(vaultfile.Setting{Name: "x", Value: "y"})
	}); !errors.Is(err, vaultfile.ErrReadOnly) {
		t.Errorf("it edits: %v", err)
	}
	// Older than its floor: made before it was added.
	w2 := newWorld(t)
	if err := os.WriteFile(w2.path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	later := *job
	later.Floor = g.Clock()
	if _, err := vaultfile.OpenCI(ctx, w2.path, &later); !errors.Is(err, vaultfile.ErrRollback) {
		t.Errorf("below the floor: %v", err)
	}
	later = *job
	later.VaultID = strings.Repeat("f", 32)
	if _, err := vaultfile.OpenCI(ctx, w.path, &later); !errors.Is(err, vaultfile.ErrForeignVault) {
		t.Errorf("another vault: %v", err)
	}
	later = *job
	later.Signers = map[string][]byte{"00000000000000ff": w.id.SignKey()}
	if _, err := vaultfile.OpenCI(ctx, w.path, &later); !errors.Is(err, vaultfile.ErrUnknownSigner) {
		t.Errorf("another signer: %v", err)
	}
	// Removed, it cannot open what is saved from then on.
	w.edit(t, func(tx *vaultfile.Tx) error { return tx.DeleteDevice(job.Identity.ID()) })
	if _, err := vaultfile.OpenCI(ctx, w.path, job); !errors.Is(err, vaultfile.ErrWrongKey) {
		t.Errorf("removed: %v", err)
	}
}

func TestParseCIRefuses(t *testing.T) {
	w := newWorld(t)
	_, job, err := vaultfile.AddCI(context.Background(), w.path, w.id, w.mem, "build")
	if err != nil {
		t.Fatal(err)
	}
	text := job.Text().Reveal()
	signerAt := strings.Index(text, "# signer: ")
	for name, in := range map[string]string{
		"an identity":  w.id.Text().Reveal(),
		"no signer":    text[:signerAt],
		"signer twice": text + text[signerAt:],
		"no vault":     strings.Replace(text, "# vault: ", "# vault ", 1),
		"count of 0":   strings.Replace(text, " 2\n# signer", " 0\n# signer", 1),
		"count of 02":  strings.Replace(text, " 2\n# signer", " 02\n# signer", 1),
		"bad signer":   strings.TrimSpace(text) + "A",
		"more":         text + "x",
	} {
		if in == text {
			t.Fatalf("%s: nothing was altered", name)
		}
		if _, err := vaultfile.ParseCI([]byte(in)); !errors.Is(err, vaultfile.ErrBadIdentity) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseCI(f *testing.F) {
	w := newWorld(f)
	_, job, err := vaultfile.AddCI(context.Background(), w.path, w.id, w.mem, "build")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(job.Text().Reveal()))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := vaultfile.ParseCI(b)
		if err != nil {
			return
		}
		again, err := vaultfile.ParseCI([]byte(c.Text().Reveal()))
		if err != nil || again.Text().Reveal() != c.Text().Reveal() {
			t.Fatalf("it does not read what it writes: %v", err)
		}
		_ = c.Memory()
	})
}

func TestRecoveryKeyReads(t *testing.T) {
	paper, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	id := newIdentity(t, "laptop")
	path := t.TempDir() + "/vault.age"
	f, err := vaultfile.Create(context.Background(), path, id, vaultfile.NewMemory(), vaultfile.Options{Recovery: []string{paper.Recipient().String()}})
	if err != nil {
		t.Fatal(err)
	}
	if c := f.Contents(); len(c.Devices) != 2 {
		t.Errorf("devices are %+v", c.Devices)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := age.Decrypt(armor.NewReader(bytes.NewReader(b)), paper); err != nil {
		t.Errorf("the paper key does not open it: %v", err)
	}
}
