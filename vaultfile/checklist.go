package vaultfile

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// removedPrefix begins the names of the settings in which removed devices keep
// their names; the device's id follows.
const removedPrefix = "removed."

// RemovedDevice is a device that was removed, with what it knows.
type RemovedDevice struct {
	ID      string
	Name    string
	Removed time.Time
	Open    []Exposure // what it could read and nobody has changed since, by item
}

// Exposure is one thing that a removed device could read.
type Exposure struct {
	Item string // record id, what Rotated takes: "login/work/github"
	Type string // "login" or "client"
	Key  string // the id without its type
	// Reference says that the vault holds no secret here but where it is kept.
	// The device read that text; whether it could read the secret behind it,
	// kb does not know.
	Reference bool
}

// Checklist lists the removed devices with what each could read that has not
// been changed since, by name. What is changed or deleted goes off the list by
// that; what was made worthless in another way is taken off by Rotated.
func (f *File) Checklist() []RemovedDevice {
	c := f.Contents()
	byID := map[string]*RemovedDevice{}
	var list []*RemovedDevice
	for i := range f.payload.records {
		if r := &f.payload.records[i]; r.typ == "device" && r.deleted {
			d := &RemovedDevice{ID: r.key(), Name: c.DeviceName(r.key()), Removed: r.stamp.when()}
			byID[d.ID], list = d, append(list, d)
		}
	}
	references := map[string]bool{}
	for i := range c.Logins {
		references[c.Logins[i].ID] = len(c.Logins[i].Secrets) == 0
	}
	for _, e := range f.Exposed() {
		item := e.Type + "/" + e.Key
		d := byID[e.Device]
		d.Open = append(d.Open, Exposure{Item: item, Type: e.Type, Key: e.Key, Reference: references[item]})
	}
	out := make([]RemovedDevice, 0, len(list))
	for _, d := range list {
		out = append(out, *d)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// DeviceNames are what devices are called, or were before they were removed,
// by id.
func (c *Contents) DeviceNames() map[string]string {
	names := map[string]string{}
	for _, s := range c.Settings {
		if id, ok := strings.CutPrefix(s.Name, removedPrefix); ok {
			names[id] = s.Value
		}
	}
	for i := range c.Devices {
		names[c.Devices[i].ID] = c.Devices[i].Name
	}
	return names
}

// DeviceName is what a device is called, or was before it was removed; its id
// if the vault does not say.
func (c *Contents) DeviceName(id string) string {
	for i := range c.Devices {
		if c.Devices[i].ID == id {
			return c.Devices[i].Name
		}
	}
	if name := c.Setting(removedPrefix + id); name != "" {
		return name
	}
	return id
}

// Rotated takes a login or client, by its record id, off the lists of all
// removed devices: someone made sure that knowing it is worth nothing.
func (tx *Tx) Rotated(item string) error {
	typ, key, _ := strings.Cut(item, "/")
	f := &File{payload: tx.p}
	found := false
	for _, e := range f.Exposed() {
		if e.Type != typ || e.Key != key {
			continue
		}
		if err := tx.Dismiss(e); err != nil {
			return err
		}
		found = true
	}
	if !found {
		return fmt.Errorf("take %q off the checklist: %w", item, ErrNotFound)
	}
	return nil
}
