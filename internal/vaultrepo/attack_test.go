package vaultrepo

import (
	"context"
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A server can commit gigabytes of zeros in the vault's place: they take little
// on its way, and must not take memory here.
func TestAttackHugeBlobInTheVaultsPlace(t *testing.T) {
	w := newWorld(t)
	w.repo("laptop")
	good := w.run("laptop", "rev-parse", "HEAD:kb/vault.age")
	const size = 512 << 20
	if err := os.Truncate(w.path("laptop/kb/vault.age"), size); err != nil {
		t.Fatal(err)
	}
	w.commitAll("laptop", "zeros")
	huge := w.run("laptop", "rev-parse", "HEAD:kb/vault.age")
	for _, how := range []string{"loose", "packed"} {
		if how == "packed" {
			w.run("laptop", "gc", "-q")
		}
		r := w.find("laptop/kb/vault.age")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := r.Blob(context.Background(), huge)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; err == nil || took > 2*maxBlob {
			t.Errorf("%s: %v, %d MiB", how, err, took>>20)
		}
		if raw, err := r.Blob(context.Background(), good); err != nil || string(raw) != "one\n" { // control
			t.Errorf("%s: %q, %v", how, raw, err)
		}
	}
}

// FIFOs in place of a repository's files: nothing ends an open(2) that waits
// for a writer, not even SIGTERM to a program that catches it.
func TestAttackPipesInARepository(t *testing.T) {
	for _, name := range []string{"refs/heads/main", "packed-refs", "objects/info/alternates", "shallow", "HEAD"} {
		w := newWorld(t)
		w.repo("laptop")
		r := w.find("laptop/kb/vault.age")
		if v, err := r.History(context.Background(), 0); err != nil || len(v) != 1 { // control
			t.Fatalf("%v, %+v", err, v)
		}
		path := w.path("laptop/.git/" + name)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		done := make(chan error, 1)
		go func() {
			_, err := r.History(ctx, 0)
			_, _ = r.Blob(ctx, "1111111111111111111111111111111111111111")
			done <- err
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: waits for a writer", name)
		}
		cancel()
	}
}
