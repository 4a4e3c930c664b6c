package vaultfile

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"kb/internal/secret"
)

func (l *lab) openItems(who string) []string {
	l.t.Helper()
	var items []string
	for _, d := range l.open(who).Checklist() {
		for _, e := range d.Open {
			item := d.Name + " " + e.Item
			if e.Reference {
				item += " by reference"
			}
			items = append(items, item)
		}
	}
	return items
}

func (l *lab) expectItems(who string, want ...string) {
	l.t.Helper()
	if got := l.openItems(who); !slices.Equal(got, want) {
		l.t.Errorf("open for %s: %q, want %q", who, got, want)
	}
}

func putToken(profile, value string) func(*Tx) error {
	return func(tx *Tx) error {
		return tx.PutLogin(Login{Profile: profile, Provider: "github", Secrets: map[string]secret.Value{"token": secret.New(value)}})
	}
}

// The checklist of a removed device goes to zero, and for nothing but a secret
// that is another or gone, or a person's word.
func TestChecklistGoesToZero(t *testing.T) {
	l := newLab(t)
	l.expectItems("a")
	l.edit("a", putToken("work", "one"))
	l.edit("a", putToken("home", "two"))
	l.edit("a", func(tx *Tx) error {
		if err := tx.PutLogin(Login{Profile: "work", Provider: "gitlab", Refs: map[string]string{"token": "env:GITLAB"}}); err != nil {
			return err
		}
		if err := tx.PutLogin(Login{Profile: "work", Provider: "linear", DeviceOnly: true}); err != nil {
			return err
		}
		if err := tx.PutClient(Client{Name: "linear", ClientID: "x", ClientSecret: secret.New("three")}); err != nil {
			return err
		}
		return tx.PutClient(Client{Name: "public", ClientID: "y"})
	})
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
	all := []string{"c client/linear", "c login/home/github", "c login/work/github", "c login/work/gitlab by reference"}
	l.expectItems("a", all...)
	l.expectItems("b", all...)
	if d := l.open("a").Checklist()[0]; d.ID != l.ids["c"].id || d.Removed.IsZero() {
		t.Errorf("%+v", d)
	}

	l.edit("b", putToken("work", "one")) // the same again
	l.edit("b", func(tx *Tx) error {     // and what is not the secret
		return tx.PutLogin(Login{Profile: "work", Provider: "github", Account: "me", Secrets: map[string]secret.Value{"token": secret.New("one")}})
	})
	l.expectItems("a", all...)
	l.edit("b", putToken("work", "one, changed"))
	l.expectItems("a", "c client/linear", "c login/home/github", "c login/work/gitlab by reference")
	l.edit("a", func(tx *Tx) error { return tx.DeleteLogin("login/home/github") })
	l.expectItems("a", "c client/linear", "c login/work/gitlab by reference")
	l.edit("a", func(tx *Tx) error { return tx.Rotated("login/work/gitlab") })
	l.expectItems("a", "c client/linear")
	l.edit("a", func(tx *Tx) error {
		if err := tx.Rotated("login/work/none"); !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("what is not on the list: %w", err)
		}
		return tx.PutClient(Client{Name: "linear", ClientID: "x", ClientSecret: secret.New("four")})
	})
	l.expectItems("a")
	l.open("b")

	// What was made since is not on it, and a second removal lists what it is.
	l.edit("a", putToken("later", "five"))
	l.expectItems("a")
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["b"].id) })
	l.expectItems("a", "b client/linear", "b login/later/github", "b login/work/github", "b login/work/gitlab by reference")
	l.edit("a", func(tx *Tx) error { return tx.Rotated("login/later/github") })
	l.expectItems("a", "b client/linear", "b login/work/github", "b login/work/gitlab by reference")
}

// Two changes of one record in one save leave it well-formed.
func TestARecordIsPutTwiceInOneSave(t *testing.T) {
	l := newLab(t)
	l.edit("a", putToken("work", "one"))
	l.edit("b", func(tx *Tx) error {
		for _, d := range tx.devices() {
			d.Name += "!"
			tx.put("device", d.ID, encodeDevice(&d))
		}
		tx.vouchForAll()
		for _, d := range tx.devices() {
			l.ids["mallory"].vouch(l.vault, &d)
			tx.put("device", d.ID, encodeDevice(&d))
		}
		return nil
	})
	l.open("a")
}
