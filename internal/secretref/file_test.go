package secretref_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"kb/internal/secretref"
)

// TestAttackFiles: what a shared vault could name.
func TestAttackFiles(t *testing.T) {
	d := newDevice(t)
	state := filepath.Dir(d.write("state/identity.txt", canary, 0o600))
	d.o.Closed = []string{state}
	fifo := filepath.Join(d.home, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(d.home, "link")
	if err := os.Symlink(state, link); err != nil {
		t.Fatal(err)
	}
	r := d.resolver()
	gets(t, r, "file:"+d.write("token", "plain\n", 0o600), "plain") // the control
	huge := d.write("huge", string(make([]byte, 1<<20)), 0o600)
	for ref, say := range map[string]string{
		"file:" + fifo:                     "not a regular file",
		"file:/dev/zero":                   "not for references",
		"file:/proc/self/environ":          "not for references",
		"file:/proc/../proc/self/cmdline":  "not for references",
		"file:" + state + "/identity.txt":  "not for references",
		"file:" + link + "/identity.txt":   "not for references",
		"sops:" + link + "/identity.txt#x": "not for references",
		"file:" + d.home:                   "not a regular file",
		"file:" + huge:                     "longer than",
	} {
		refuses(t, r, ref, say)
	}
}

// TestAttackSymlinkSwap: a link that is turned round after somebody agreed to
// what it led to.
func TestAttackSymlinkSwap(t *testing.T) {
	d := newDevice(t)
	d.write("work/token", "agreed", 0o600)
	d.write("private/key", canary, 0o600)
	link := filepath.Join(d.home, "link")
	if err := os.Symlink(filepath.Join(d.home, "work/token"), link); err != nil {
		t.Fatal(err)
	}
	r := d.resolver()
	agreed, err := r.Source(context.Background(), "file:"+link)
	if err != nil {
		t.Fatal(err)
	}
	no := errors.New("not agreed")
	resolve := func() (string, error) {
		v, err := r.Resolve(context.Background(), "file:"+link, func(s secretref.Source) error {
			if s != agreed {
				return no
			}
			return nil
		})
		return v.Reveal(), err
	}
	if v, err := resolve(); err != nil || v != "agreed" {
		t.Fatalf("resolves to %q, %v", v, err)
	}
	os.Remove(link)
	if err := os.Symlink(filepath.Join(d.home, "private/key"), link); err != nil {
		t.Fatal(err)
	}
	if v, err := resolve(); !errors.Is(err, no) {
		t.Errorf("resolves to %q, %v", v, err)
	}
	gets(t, r, "file:"+link, canary) // the control: it can be read

	// A folder on the way that becomes a link between the agreement and the
	// reading: the link is put there by the very function that agrees.
	target := filepath.Join(d.home, "work/token")
	agreed = secretref.Source{Path: target}
	v, err := r.Resolve(context.Background(), "file:"+target, func(s secretref.Source) error {
		if s != agreed {
			return no
		}
		if err := os.Rename(filepath.Join(d.home, "work"), filepath.Join(d.home, "was")); err != nil {
			return err
		}
		d.write("private/token", canary, 0o600)
		return os.Symlink(filepath.Join(d.home, "private"), filepath.Join(d.home, "work"))
	})
	if err == nil {
		t.Errorf("the swapped folder was read: %q", v.Reveal())
	}
}
