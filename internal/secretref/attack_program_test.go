package secretref_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/secretref"
)

// TestAttackProgramSwappedAfterAgreement: a program, and a file for one, that
// gives its place to another once it was agreed to and before it is used. The
// swap is made by the very function that agrees.
func TestAttackProgramSwappedAfterAgreement(t *testing.T) {
	for name, c := range map[string]struct {
		ref  func(d *device) string
		swap func(d *device)
	}{
		"the script": {
			func(d *device) string { d.program("token", "printf agreed"); return "cmd:token" },
			func(d *device) { d.program("token", "touch "+d.home+"/ran; printf evil") },
		},
		"a link to it": {
			func(d *device) string {
				d.write("good", "#!/bin/sh\nprintf agreed\n", 0o700)
				d.write("evil", "#!/bin/sh\ntouch "+d.home+"/ran; printf evil\n", 0o700)
				link(d, "good")
				return "cmd:" + filepath.Join(d.home, "link")
			},
			func(d *device) { link(d, "evil") },
		},
		"a file of secrets": {
			func(d *device) string {
				d.program("sops", `touch `+d.home+`/ran.$(basename $(readlink -f "$2")); cat "$2"`)
				d.write("good", "agreed", 0o600)
				d.write("private", canary, 0o600)
				link(d, "good")
				return "sops:" + filepath.Join(d.home, "link")
			},
			func(d *device) { link(d, "private") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t)
			ref := c.ref(d)
			gets(t, d.resolver(), ref, "agreed") // the control
			_, err := d.resolver().Resolve(context.Background(), ref, func(secretref.Source) error {
				c.swap(d)
				return nil
			})
			if err == nil {
				t.Error("it was used")
			} else {
				shows(t, err, "another file or program")
			}
			for _, ran := range []string{"ran", "ran.private"} {
				if _, err := os.Stat(filepath.Join(d.home, ran)); err == nil {
					t.Error("the other one ran")
				}
			}
		})
	}
}

// link turns the link round.
func link(d *device, to string) {
	d.t.Helper()
	at := filepath.Join(d.home, "link")
	_ = os.Remove(at)
	if err := os.Symlink(filepath.Join(d.home, to), at); err != nil {
		d.t.Fatal(err)
	}
}

// TestAttackHelpersComplaint: a manager that fails after it printed an item, or
// what it was opened with, and complains with a part of that.
func TestAttackHelpersComplaint(t *testing.T) {
	d := newDevice(t, "BW_SESSION=session-"+canary, "LANG=C.UTF-8")
	for name, script := range map[string]string{
		"a field of the JSON": `echo '{"login":{"password":"` + canary + `"}}'; echo "cannot show ` + canary + ` here" >&2; exit 1`,
		"two in a row":        `echo '{"a":"` + canary + `","b":"other"}'; echo "` + canary + canary + `" >&2; exit 1`,
		"its session":         `echo "session $BW_SESSION is over" >&2; exit 1`,
		"cut off":             `echo ` + canary + `; echo '` + canary[:12] + `' >&2; exit 1`,
	} {
		t.Run(name, func(t *testing.T) {
			d.program("bw", script)
			_, err := resolve(d.resolver(), "bw://item")
			if err == nil {
				t.Fatal("it resolves")
			}
			shows(t, err, "[redacted]")
			for i := 0; i+8 <= len(canary); i++ {
				if strings.Contains(err.Error(), canary[i:i+8]) {
					t.Fatalf("error %q holds a part of the canary", err)
				}
			}
		})
	}
	// Positive control: what is neither is shown, so that people can mend it.
	d.program("bw", `echo "You are not logged in. LANG is $LANG" >&2; exit 1`)
	_, err := resolve(d.resolver(), "bw://item")
	shows(t, err, "You are not logged in. LANG is C.UTF-8")
}
