package vaultfile_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"kb/internal/secret"
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
	b.ReportAllocs()
	defer processor(b)()
	for b.Loop() {
		f, err := vaultfile.Open(context.Background(), w.path, w.id, w.mem)
		if err != nil {
			b.Fatal(err)
		}
		if c := f.Contents(); len(c.Logins) != n {
			b.Fatal("logins are missing")
		}
	}
}

func benchmarkSave(b *testing.B, n int) {
	w := newWorld(b)
	fill(b, w, n)
	i := 0
	b.ReportAllocs()
	defer processor(b)()
	for b.Loop() {
		i++
		w.edit(b, func(tx *vaultfile.Tx) error {
			return tx.PutSetting(vaultfile.Setting{Name: "n", Value: fmt.Sprint(i)})
		})
	}
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
