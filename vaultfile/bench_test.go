package vaultfile_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"kb/internal/secret"
	"kb/internal/state"
	"kb/vaultfile"
)

// fill puts n logins of the size that real ones have.
func fill(t testing.TB, w *world, n int) {
	t.Helper()
	created := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	w.edit(t, func(tx *vaultfile.Tx) error {
		for i := range n {
			if err := tx.PutLogin(vaultfile.Login{
				Profile: fmt.Sprintf("profile-%d", i%50), Provider: fmt.Sprintf("provider-%d", i/50), Method: "key",
				Secrets: map[string]secret.Value{"token": secret.New(fmt.Sprintf("ghp_%036d", i))},
				Account: fmt.Sprintf("account-%d", i), Created: created, Expires: created.AddDate(1, 0, 0),
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

func benchmarkOpen(b *testing.B, n int) {
	w := newWorld(b)
	fill(b, w, n)
	measured(b, func(int) {
		f, err := vaultfile.Open(context.Background(), w.path, w.id, w.mem)
		if err != nil {
			b.Fatal(err)
		}
		if c := f.Contents(); len(c.Logins) != n {
			b.Fatal("logins are missing")
		}
	})
}

func benchmarkSave(b *testing.B, n int) {
	w := newWorld(b)
	fill(b, w, n)
	measured(b, func(i int) {
		w.edit(b, func(tx *vaultfile.Tx) error {
			return tx.PutSetting(vaultfile.Setting{Name: "n", Value: fmt.Sprint(i)})
		})
	})
}

func BenchmarkOpen1000(b *testing.B)  { benchmarkOpen(b, 1000) }
func BenchmarkOpen10000(b *testing.B) { benchmarkOpen(b, 10000) }
func BenchmarkSave1000(b *testing.B)  { benchmarkSave(b, 1000) }
func BenchmarkSave10000(b *testing.B) { benchmarkSave(b, 10000) }

// processor reports the processor's time, which other load on the machine
// changes less than the wall's.
func processor(b *testing.B) func() {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	return func() { b.ReportMetric(float64((used()-start).Microseconds())/float64(b.N)/1000, "cpu-ms/op") }
}

// BenchmarkSaveWithState10000 is a save as kb makes it: with what the device
// keeps of the vault, all on the disk.
func BenchmarkSaveWithState10000(b *testing.B) {
	w := newWorld(b)
	dir := b.TempDir()
	s, err := state.Open(filepath.Join(dir, "state"), w.id.DeriveKey("state"))
	if err != nil {
		b.Fatal(err)
	}
	if w.mem, err = s.VaultMemory("default"); err != nil {
		b.Fatal(err)
	}
	w.path = filepath.Join(dir, "vault.age")
	if _, err := vaultfile.Create(b.Context(), w.path, w.id, w.mem, vaultfile.Options{}); err != nil {
		b.Fatal(err)
	}
	fill(b, w, 10000)
	measured(b, func(i int) {
		w.edit(b, func(tx *vaultfile.Tx) error {
			return tx.PutSetting(vaultfile.Setting{Name: "n", Value: fmt.Sprint(i)})
		})
	})
}

// measured runs f for each round and reports the median, which says more than
// the mean where other load makes some rounds slow, and the fastest.
func measured(b *testing.B, f func(i int)) {
	var took []time.Duration
	b.ReportAllocs()
	defer processor(b)()
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		f(i)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
	b.ReportMetric(ms(took[0]), "min-ms")
}

// BenchmarkMerge2x1000 merges two versions of a vault of 10,000 records, each
// with 1,000 changes of its own, of which half are to the same records.
func BenchmarkMerge2x1000(b *testing.B) {
	w := newWorld(b)
	desk := newIdentity(b, "desk")
	fill(b, w, 10000)
	f := w.edit(b, func(tx *vaultfile.Tx) error {
		return tx.PutDevice(vaultfile.Device{ID: desk.ID(), Name: "desk", Recipient: desk.Recipient(), SignKey: desk.SignKey(), Kind: vaultfile.KindDevice})
	})
	other := &world{path: filepath.Join(b.TempDir(), "vault.age"), id: desk, mem: vaultfile.NewMemory()}
	if err := vaultfile.FirstTrust(b.Context(), other.mem, f.ID(), w.id.ID(), w.id.SignKey()); err != nil {
		b.Fatal(err)
	}
	base, err := os.ReadFile(w.path)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(other.path, base, 0o600); err != nil {
		b.Fatal(err)
	}
	side := func(w *world, from int) []byte {
		logins := w.open(b).Contents().Logins
		w.edit(b, func(tx *vaultfile.Tx) error {
			for _, l := range logins[from : from+1000] {
				l.Account += " of " + w.id.Name()
				if err := tx.PutLogin(l); err != nil {
					return err
				}
			}
			return nil
		})
		raw, err := os.ReadFile(w.path)
		if err != nil {
			b.Fatal(err)
		}
		return raw
	}
	ours, theirs := side(w, 0), side(other, 500)
	measured(b, func(int) {
		_, report, err := vaultfile.Merge(b.Context(), ours, theirs, w.id, w.mem)
		if err != nil {
			b.Fatal(err)
		}
		if len(report.Changes) < 500 {
			b.Fatalf("the merge took %d changes", len(report.Changes))
		}
	})
}
