package refresh_test

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/atomicfile"
	"kb/internal/faultdisk"
	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
)

// smallDisk holds so many bytes, what lies in its folder with them.
type smallDisk struct {
	*faultdisk.Disk
	dir   string
	bytes int64
}

func (d *smallDisk) used() (sum int64) {
	_ = filepath.WalkDir(d.dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	return sum
}

func (d *smallDisk) Create(path string) (atomicfile.File, error) {
	f, err := d.Disk.Create(path)
	return &smallFile{f, d}, err
}

type smallFile struct {
	atomicfile.File
	disk *smallDisk
}

func (f *smallFile) Write(b []byte) (int, error) {
	if f.disk.used()+int64(len(b)) > f.disk.bytes {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(b)
}

// TestAttackDiskWithRoomForTheJournalAlone: whatever room a disk has left, a
// process that refreshes and ends loses no rotating login: either nothing is
// asked, or what came is on the disk.
func TestAttackDiskWithRoomForTheJournalAlone(t *testing.T) {
	asked, refused := 0, 0
	for left := int64(0); left <= 32<<10; left += 1 << 10 {
		r := newRig(t, time.Hour).loggedIn()
		r.issuer.rotate, r.issuer.reuse = true, true
		// The new token is a long one.
		exchange := r.issuer.exchange(r.clock.now)
		long := strings.Repeat("x", 3<<10)
		grow := func(ctx context.Context, g refresh.Grant, with secret.Value) (oauth.Tokens, error) {
			got, err := exchange(ctx, g, with)
			if err == nil {
				got.Access = secret.New(got.Access.Reveal() + long)
			}
			return got, err
		}
		m := refresh.New(refresh.Options{Store: openStore(t, r.dir), Exchange: grow, Now: r.clock.now, Elapsed: r.clock.elapsed})
		plain, err := faultdisk.New(r.dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		disk := &smallDisk{Disk: plain, dir: r.dir}
		disk.bytes = disk.used() + left
		m.SetDisk(disk)
		r.clock.pass(2 * time.Hour)
		got, err := m.Token(t.Context(), r.login)
		m.Wait()
		switch n := r.issuer.asked(); {
		case n == 0 && err != nil:
			refused++
		case n == 1 && err == nil:
			asked++
			// The process ends here; what it holds in memory is gone.
			if !r.stored().Access.Equal(got.Access) {
				t.Errorf("%d bytes left: the new tokens are in memory alone, and lost with the process", left)
			}
		default:
			t.Fatalf("%d bytes left: %d requests, %v", left, n, err)
		}
	}
	if asked == 0 || refused == 0 {
		t.Errorf("control: asked with %d of the sizes, not with %d", asked, refused)
	}
}

// TestAttackFileSizeLimit: a session was started where files may have few bytes
// (ulimit -f): enough for a short note, and not for tokens.
func TestAttackFileSizeLimit(t *testing.T) {
	for _, inWorker := range []bool{false, true} {
		t.Run(fmt.Sprint("worker=", inWorker), func(t *testing.T) {
			t.Parallel()
			r := newRemote(t, true)
			long := r.stored()
			long.Access = secret.New("over" + strings.Repeat("x", 3<<10))
			r.put(long)
			spec := sessionSpec{Users: 1, FileSize: 1 << 10}
			if inWorker {
				spec.Worker = &stop{}
			}
			out, _ := r.run(spec)
			if strings.HasPrefix(out, "ok ") || !strings.Contains(out, "nothing was asked") || r.asked() != 0 {
				t.Errorf("%d requests; it said %q", r.asked(), out)
			}
			if !r.alive() || r.current != "refresh-0" {
				t.Error("the refresh token is spent")
			}
			// Positive control: without the limit it is asked. A wait after the
			// failure is not what this is about.
			r.expire()
			spec.FileSize = 0
			if out, _ := r.run(spec); !strings.HasPrefix(out, "ok ") || r.asked() != 1 {
				t.Errorf("control: %d requests; it said %q", r.asked(), out)
			}
		})
	}
}
