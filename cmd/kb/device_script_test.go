package main

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kb/internal/broker"
	"kb/internal/state"
	"kb/vaultfile"
)

// addDevice is the script command "adddevice HOME NEWHOME NAME VAULT": a
// machine with a home of its own whose identity is added to the vault of the
// device at HOME, and which finds its own copy of the vault at VAULT.
func addDevice(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: adddevice HOME NEWHOME NAME VAULT")
	}
	ctx := context.Background()
	old, fresh := homeOf(ts, args[0]), homeOf(ts, args[1])
	text, err := os.ReadFile(old.IdentityFile())
	ts.Check(err)
	first, err := vaultfile.ParseIdentity(text)
	ts.Check(err)
	store, err := state.Open(filepath.Join(old.State, "state"), first.DeriveKey("state"))
	ts.Check(err)
	vault, _, err := store.DefaultVault()
	ts.Check(err)
	memory, err := store.VaultMemory(vault.Name)
	ts.Check(err)
	second, err := vaultfile.NewIdentity(args[2], rand.Reader)
	ts.Check(err)
	file, err := vaultfile.Edit(ctx, vault.Path, first, memory, func(tx *vaultfile.Tx) error {
		return tx.PutDevice(vaultfile.Device{
			ID: second.ID(), Name: args[2], Recipient: second.Recipient(), SignKey: second.SignKey(),
			Kind: vaultfile.KindDevice, Created: time.Now(),
		})
	})
	ts.Check(err)
	ts.Check(os.MkdirAll(fresh.State, 0o700))
	ts.Check(os.WriteFile(fresh.IdentityFile(), []byte(second.Text().Reveal()), 0o600))
	if store, err = state.Open(filepath.Join(fresh.State, "state"), second.DeriveKey("state")); err == nil {
		memory, err = store.VaultMemory(vault.Name)
	}
	ts.Check(err)
	ts.Check(vaultfile.FirstTrust(ctx, memory, file.ID(), first.ID(), first.SignKey()))
	ts.Check(store.PutVault(ctx, state.Vault{Name: vault.Name, Path: ts.MkAbs(args[3]), Default: true}))
}

func homeOf(ts *testscript.TestScript, home string) broker.Paths {
	paths, err := broker.FindPaths(func(name string) string {
		if name == "HOME" {
			return ts.MkAbs(home)
		}
		return ""
	})
	ts.Check(err)
	return paths
}
