package broker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kb/internal/secret"
	"kb/internal/secretref"
	"kb/vaultfile"
)

// written puts a login into the default vault as another device would: nobody
// here was asked.
func (f *fixture) written(l vaultfile.Login) {
	f.Helper()
	if err := f.broker.Edit(f.Context(), func(tx *vaultfile.Tx) error { return tx.PutLogin(l) }); err != nil {
		f.Fatal(err)
	}
}

// program makes an executable script.
func (f *fixture) program(name, script string) string {
	f.Helper()
	path := filepath.Join(f.options.Paths.Home, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		f.Fatal(err)
	}
	return path
}

// TestAttackReferenceOfAnotherDevice: a reference in the default vault that
// reads a file or runs a program here is nothing until a person agrees to it,
// and then only to that file or program.
func TestAttackReferenceOfAnotherDevice(t *testing.T) {
	f := newFixture(t)
	ran := filepath.Join(f.options.Paths.Home, "ran")
	command := f.program("token", "touch "+ran+"; printf value")
	file := filepath.Join(f.options.Paths.Home, "file")
	if err := os.WriteFile(file, []byte("of-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ref, value, here string }{
		{"cmd:" + command, "value", "runs " + command}, {"file:" + file, "of-file", "reads " + file},
	} {
		login := vaultfile.Login{Profile: "work", Provider: "openai", Method: "key", Refs: map[string]string{"api_key": c.ref}}
		f.written(login)
		_, err := f.broker.references(login)("api_key", c.ref)
		var unagreed *UnagreedError
		if !errors.As(err, &unagreed) || !strings.Contains(err.Error(), "kb reference accept openai -p work") || !strings.Contains(err.Error(), c.here) {
			t.Errorf("%s: %v", c.ref, err)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Errorf("%s: the program ran before anybody agreed", c.ref)
		}
		// A session starts without it, and does not wait.
		start := time.Now()
		f.start(f.workDir)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the session took %v", took)
		}
		f.agree("openai")
		if v, err := f.broker.references(login)("api_key", c.ref); err != nil || v.Reveal() != c.value {
			t.Errorf("%s: agreed to, it resolves to %q, %v", c.ref, v.Reveal(), err)
		}
		// For that login, and for what was agreed to.
		other := login
		other.Provider = "anthropic"
		if _, err := f.broker.references(other)("api_key", c.ref); !errors.As(err, &unagreed) {
			t.Errorf("%s: another login got it: %v", c.ref, err)
		}
	}
	f.program("token", "printf other")
	login := vaultfile.Login{Profile: "work", Provider: "openai", Method: "key", Refs: map[string]string{"api_key": "cmd:" + command}}
	f.written(login)
	var unagreed *UnagreedError
	if v, err := f.broker.references(login)("api_key", "cmd:"+command); !errors.As(err, &unagreed) {
		t.Errorf("a changed program gave %q, %v", v.Reveal(), err)
	}
}

// agree does what kb reference accept does, with a person who says yes.
func (f *fixture) agree(provider string) {
	f.Helper()
	list, err := f.broker.References(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	for _, r := range list {
		if r.Provider != provider || r.Agreed {
			continue
		}
		here, err := f.broker.Afresh(f.Context(), r)
		if err == nil {
			err = f.broker.AcceptReference(f.Context(), r, here)
		}
		if err != nil {
			f.Fatal(err)
		}
		return
	}
	f.Fatalf("nothing of %s waits for agreement: %+v", provider, list)
}

// TestReferenceGivenHereIsAgreed: kb login with --from asks nothing more.
func TestReferenceGivenHereIsAgreed(t *testing.T) {
	f := newFixture(t)
	command := f.program("token", "printf value")
	login := vaultfile.Login{Profile: "work", Provider: "openai", Method: "key", Refs: map[string]string{"api_key": "cmd:" + command}}
	if _, err := f.broker.Login(t.Context(), LoginSpec{Login: login}); err != nil {
		t.Fatal(err)
	}
	if v, err := f.broker.references(login)("api_key", "cmd:"+command); err != nil || v.Reveal() != "value" {
		t.Errorf("resolves to %q, %v", v.Reveal(), err)
	}
	if _, err := f.broker.referencesNow(login)("api_key", "cmd:"+command); err != nil {
		t.Errorf("it is not in memory after the login: %v", err)
	}
	f.broker.forgetReferences(login)
	if _, err := f.broker.referencesNow(login)("api_key", "cmd:"+command); !errors.Is(err, secretref.ErrNotYet) {
		t.Errorf("forgotten: %v", err)
	}
	f.broker.fetchReferences(t.Context(), []vaultfile.Login{login})
	if v, err := f.broker.referencesNow(login)("api_key", "cmd:"+command); err != nil || v.Reveal() != "value" {
		t.Errorf("fetched: %q, %v", v.Reveal(), err)
	}
}

// TestClientSecretByReference: an OAuth client whose secret is elsewhere.
func TestClientSecretByReference(t *testing.T) {
	f := newFixture(t)
	command := f.program("oauth", "printf oauth-secret")
	client := vaultfile.Client{Name: "slack", ClientID: "id", SecretRef: "cmd:" + command}
	if err := f.broker.Edit(t.Context(), func(tx *vaultfile.Tx) error { return tx.PutClient(client) }); err != nil {
		t.Fatal(err)
	}
	var unagreed *UnagreedError
	slack := vaultfile.Login{Provider: "slack"}
	if _, err := f.broker.clientSecret(t.Context(), f.broker.primary, slack, client); !errors.As(err, &unagreed) {
		t.Errorf("a reference of another device: %v", err)
	}
	f.agree("slack")
	if v, err := f.broker.clientSecret(t.Context(), f.broker.primary, slack, client); err != nil || v.Reveal() != "oauth-secret" {
		t.Errorf("resolves to %q, %v", v.Reveal(), err)
	}
	given := vaultfile.Client{Name: "zoom", ClientID: "id", SecretRef: "cmd:" + command}
	if err := f.broker.wantClient(t.Context(), f.broker.primary, vaultfile.Login{Provider: "zoom"}, given); err != nil {
		t.Fatal(err)
	}
	if _, err := f.broker.clientSecret(t.Context(), f.broker.primary, vaultfile.Login{Provider: "zoom"}, given); err != nil {
		t.Errorf("given here: %v", err)
	}
	if v, err := f.broker.clientSecret(t.Context(), f.broker.primary, slack, vaultfile.Client{Name: "x", ClientSecret: secret.New("plain")}); err != nil || v.Reveal() != "plain" {
		t.Errorf("a secret in the vault: %q, %v", v.Reveal(), err)
	}
	err := f.broker.Edit(t.Context(), func(tx *vaultfile.Tx) error {
		return tx.PutClient(vaultfile.Client{Name: "both", ClientSecret: secret.New("a"), SecretRef: "env:A"})
	})
	if err == nil {
		t.Error("a client with a secret and a reference was kept")
	}
}

// TestIdentityByReference: KB_IDENTITY names where the identity is, and a
// reference that came with a vault runs nothing in a job.
func TestIdentityByReference(t *testing.T) {
	f := newFixture(t)
	text, err := f.broker.AddCI(t.Context(), "build")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	file := filepath.Join(elsewhere, "ci.identity")
	if err := os.WriteFile(file, []byte(text.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	o := f.options
	o.Paths = Paths{Config: filepath.Join(elsewhere, "config"), State: filepath.Join(elsewhere, "state"), Runtime: filepath.Join(elsewhere, "run"), Home: elsewhere}
	variables := map[string]string{"KB_IDENTITY": "file:" + file, "KB_VAULT": f.broker.VaultPath(), "PATH": "/usr/bin:/bin"}
	o.Getenv = func(name string) string { return variables[name] }
	for _, ref := range []string{"file:" + file, "cmd:cat " + file, "cmd:/bin/cat " + file} {
		variables["KB_IDENTITY"] = ref
		if _, err := Open(t.Context(), o); err != nil {
			t.Errorf("KB_IDENTITY=%s: %v", ref, err)
		}
	}
	variables["KB_IDENTITY"] = "file:" + file + ".none"
	if _, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "read KB_IDENTITY: resolve") {
		t.Errorf("a reference to nothing: %v", err)
	}
	variables["KB_IDENTITY"] = text.Reveal() // as it has always been
	job, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ran := filepath.Join(elsewhere, "ran")
	login := vaultfile.Login{Profile: "work", Provider: "openai", Method: "key"}
	var unagreed *UnagreedError
	if _, err := job.references(login)("api_key", "cmd:/bin/sh -c 'touch "+ran+"'"); !errors.As(err, &unagreed) {
		t.Errorf("a job ran a vault's program: %v", err)
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a job ran a vault's program")
	}
}
