package main

import (
	"fmt"
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

// describeChange is a change in one line. A device's id says nothing to a
// person, and its name is added.
func describeChange(c vaultfile.Change, devices map[string]string) string {
	s := c.Op.String() + " " + c.Type + "/" + c.Key
	if name := devices[c.Key]; c.Type == "device" && name != "" {
		s += " " + name
	}
	if len(c.Fields) > 0 {
		s += " (" + strings.Join(c.Fields, ", ") + ")"
	}
	return plain.Clean(s)
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
	until, fix := "only what all versions allow is in use", "kb profile set "+c.Key+" --also …"
	if c.Type == "provider" {
		until, fix = "its logins are refused", "kb provider add FILE"
	}
	return plain.Clean(fmt.Sprintf("%s of %s/%s was edited on %s at once: %s; settle it with %s",
		c.Field, c.Type, c.Key, strings.Join(who, " and "), until, fix))
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
