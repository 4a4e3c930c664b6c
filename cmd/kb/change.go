package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kb/internal/plain"
	"kb/vaultfile"
)

// changeJSON is a change of a vault in --json output: names, never a value.
type changeJSON struct {
	Op     string    `json:"op"`   // added, changed or removed
	Type   string    `json:"type"` // profile, rule, login, …
	Name   string    `json:"name"` // what kb vault restore takes: login/work/github
	Fields []string  `json:"fields,omitempty"`
	Device string    `json:"device,omitempty"` // that made the newest change
	When   time.Time `json:"when"`
}

func changesJSON(changes []vaultfile.Change, devices map[string]string) []changeJSON {
	out := make([]changeJSON, 0, len(changes))
	for _, c := range changes {
		out = append(out, changeJSON{
			Op: operation(c.Op), Type: c.Type, Name: c.Type + "/" + c.Key, Fields: c.Fields,
			Device: deviceName(c.Device, devices), When: c.When.UTC(),
		})
	}
	return out
}

func operation(op vaultfile.Op) string {
	switch op {
	case vaultfile.Added:
		return "added"
	case vaultfile.Removed:
		return "removed"
	}
	return "changed"
}

// describeChange is a change in one line.
func describeChange(c vaultfile.Change, devices map[string]string) string {
	key := c.Key
	if c.Type == "device" {
		key = deviceName(key, devices)
	}
	s := c.Op.String() + " " + c.Type + "/" + key
	if fields := fieldsOf(c); len(fields) > 0 {
		s += " (" + strings.Join(fields, ", ") + ")"
	}
	return plain.Clean(s)
}

// fieldsOf are the fields that changed, in words of the command line: the
// versions of an allow-list that differ are that list.
func fieldsOf(c vaultfile.Change) []string {
	var out []string
	for _, f := range c.Fields {
		if f == "apart" {
			if f = "also"; c.Type == "provider" {
				f = "definition"
			}
		}
		if !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

// deviceName is what a device is called: its id when the vault has it no more.
func deviceName(id string, devices map[string]string) string {
	if name := devices[id]; name != "" {
		return name
	}
	return id
}

// conflictJSON is an allow-list that was edited on two devices at once.
type conflictJSON struct {
	Type     string   `json:"type"`
	Name     string   `json:"name"`
	Field    string   `json:"field"`
	Versions []string `json:"versions"` // devices
}

func conflictsJSON(list []vaultfile.Conflict, devices map[string]string) []conflictJSON {
	out := make([]conflictJSON, 0, len(list))
	for _, c := range list {
		j := conflictJSON{Type: c.Type, Name: c.Type + "/" + c.Key, Field: c.Field, Versions: []string{}}
		for _, v := range c.Versions {
			j.Versions = append(j.Versions, deviceName(v.Device, devices))
		}
		out = append(out, j)
	}
	return out
}

// describeConflict says what was edited twice, and how it is settled.
func describeConflict(c vaultfile.Conflict, devices map[string]string) string {
	var who []string
	for _, v := range c.Versions {
		who = append(who, deviceName(v.Device, devices))
	}
	fix := "kb profile set " + c.Key + " --also …"
	if c.Type == "provider" {
		fix = "kb provider add FILE --replace"
	}
	return plain.Clean(fmt.Sprintf("%s of %s/%s was edited on %s at once: only what both allow is in use; settle it with %s",
		c.Field, c.Type, c.Key, strings.Join(who, " and "), fix))
}

// quarantinedJSON is what a merge left out.
type quarantinedJSON struct {
	Type   string    `json:"type"`
	Name   string    `json:"name"`
	Device string    `json:"device"`
	When   time.Time `json:"when"`
	Reason string    `json:"reason"`
}

func quarantinedListJSON(list []vaultfile.Quarantined, devices map[string]string) []quarantinedJSON {
	out := make([]quarantinedJSON, 0, len(list))
	for _, q := range list {
		out = append(out, quarantinedJSON{q.Type, q.Type + "/" + q.Key, deviceName(q.Device, devices), q.When.UTC(), q.Reason})
	}
	return out
}

func describeQuarantined(q vaultfile.Quarantined, devices map[string]string) string {
	return plain.Clean(fmt.Sprintf("left out: %s/%s of %s: %s", q.Type, q.Key, deviceName(q.Device, devices), q.Reason))
}
