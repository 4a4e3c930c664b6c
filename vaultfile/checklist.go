package vaultfile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// removedPrefix begins the names of the settings that removed devices leave;
// the device's id follows. Their value is the device's name.
const removedPrefix = "removed."

// exposedPrefix separates these digests from others.
const exposedPrefix = "kb exposed v1\n"

// Marks that end the name in an item of a checklist; the digest follows.
const (
	secretMark    = "#" // the device could read the secret
	referenceMark = "@" // the device could read where the secret is
)

// RemovedDevice is a device that was removed, with what it could read.
type RemovedDevice struct {
	ID      string
	Name    string
	Removed time.Time
	Open    []Exposure // what has not been changed since, by item
	Settled int        // how many were
}

// Exposure is one thing that a removed device could read.
type Exposure struct {
	Item string // what Settle takes: "login/work/github#0123456789abcdef"
	Type string // "login" or "client"; else a newer kb's
	Key  string // record id without its type: "work/github"
	// Reference says that the vault holds no secret here but where it is kept.
	// The device read that text; whether it could read the secret behind it,
	// kb does not know.
	Reference bool
}

// exposures lists what can be read in a vault's records now, as items of a
// checklist: record id, mark, and 8 bytes of SHA-256 over the vault's id and
// the secrets, or references, of the record. As long as a record has that
// digest, its secrets are the ones that were read.
func exposures(vaultID string, records []record) []string {
	var out []string
	add := func(r *record, mark string, raw []byte) {
		if raw == nil {
			return
		}
		h := sha256.New()
		h.Write([]byte(exposedPrefix))
		h.Write([]byte(vaultID))
		h.Write(raw)
		out = append(out, r.id+mark+hex.EncodeToString(h.Sum(nil)[:8]))
	}
	for i := range records {
		r := &records[i]
		if r.deleted {
			continue
		}
		switch r.typ {
		case "login":
			credential := elements(r.field("credential"))
			add(r, secretMark, credential["secrets"])
			add(r, referenceMark, credential["refs"])
		case "client":
			registration := elements(r.field("registration"))
			var o object
			for _, name := range []string{"client_secret", "registration_token"} {
				o.raw(name, registration[name])
			}
			if o.b != nil {
				add(r, secretMark, o.done())
			}
		}
	}
	slices.Sort(out)
	return out
}

// expose notes what a device that is removed could read.
func (tx *Tx) expose(d *Device) {
	s := Setting{Name: removedPrefix + d.ID, Value: d.Name, Exposed: exposures(tx.p.vaultID, tx.p.records)}
	tx.put("setting", s.Name, encodeSetting(&s))
}

// cutItem takes an item of a checklist apart.
func cutItem(item string) (id, mark string) {
	if i := strings.LastIndexAny(item, secretMark+referenceMark); i >= 0 {
		return item[:i], item[i : i+1]
	}
	return item, ""
}

// Checklist lists the removed devices with what each could read that has not
// been changed since, by name. What is changed or deleted is settled by that;
// what was made worthless in another way is settled by Settle.
func (f *File) Checklist() []RemovedDevice {
	c := f.Contents()
	var out []RemovedDevice
	var now []string
	for _, s := range c.Settings {
		id, ok := strings.CutPrefix(s.Name, removedPrefix)
		if !ok || !isDeviceID(id) {
			continue
		}
		if now == nil {
			now = append([]string{}, exposures(f.payload.vaultID, f.payload.records)...)
		}
		d := RemovedDevice{ID: id, Name: s.Value, Removed: f.removedAt(id)}
		for _, item := range s.Exposed {
			record, mark := cutItem(item)
			typ, key, _ := strings.Cut(record, "/")
			known := (typ == "login" || typ == "client") && mark != ""
			if _, open := slices.BinarySearch(now, item); known && !open {
				d.Settled++
				continue
			}
			d.Open = append(d.Open, Exposure{Item: item, Type: typ, Key: key, Reference: mark == referenceMark})
		}
		out = append(out, d)
	}
	slices.SortStableFunc(out, func(a, b RemovedDevice) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (f *File) removedAt(id string) time.Time {
	for i := range f.payload.records {
		if r := &f.payload.records[i]; r.id == "device/"+id {
			return time.UnixMilli(r.stamp.hlc >> hlcBits).UTC()
		}
	}
	return time.Time{}
}

// Settle takes an item off the checklists of all removed devices: someone made
// sure that knowing it is worth nothing. Without its digest an item means
// every one of that record.
func (tx *Tx) Settle(item string) error {
	c, err := tx.Contents()
	if err != nil {
		return err
	}
	found := false
	for _, s := range c.Settings {
		if !strings.HasPrefix(s.Name, removedPrefix) {
			continue
		}
		n := len(s.Exposed)
		s.Exposed = slices.DeleteFunc(s.Exposed, func(e string) bool {
			id, _ := cutItem(e)
			return e == item || id == item
		})
		if len(s.Exposed) < n {
			found = true
			tx.put("setting", s.Name, encodeSetting(&s))
		}
	}
	if !found {
		return fmt.Errorf("settle %q: %w", item, ErrNotFound)
	}
	return nil
}
