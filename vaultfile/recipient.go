package vaultfile

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
)

// A MixError says that a device or recipient cannot join a vault, because age
// encrypts no file both to post-quantum keys and to others: whoever breaks the
// weaker of the two reads it all the same.
type MixError struct {
	Name        string // of the device that was to be added
	PostQuantum bool   // the vault is post-quantum, and the device is not; else the reverse
}

func (e *MixError) Error() string {
	if e.PostQuantum {
		return fmt.Sprintf("add %q: this vault is post-quantum and its key is not, and age encrypts no file to both kinds", e.Name)
	}
	return fmt.Sprintf("add %q: its key is post-quantum and this vault is not, and age encrypts no file to both kinds", e.Name)
}

// A PluginError says that the vault could not be saved because an age plugin,
// which a recipient of it needs, failed.
type PluginError struct {
	Device string // name of the device record with the recipient
	Plugin string // the program is age-plugin- and this
	Err    error
}

func (e *PluginError) Error() string {
	if e.Missing() {
		return fmt.Sprintf("encrypt vault to %q: the program age-plugin-%s is not installed", e.Device, e.Plugin)
	}
	return fmt.Sprintf("encrypt vault to %q: age-plugin-%s failed: %v", e.Device, e.Plugin, e.Err)
}

func (e *PluginError) Unwrap() error { return e.Err }

// Missing reports whether the plugin's program was not found.
func (e *PluginError) Missing() bool {
	var none *plugin.NotFoundError
	return errors.As(e.Err, &none)
}

type pluginUIKey struct{}

// WithPluginUI has saves under ctx let age plugins talk to a person. Without
// it, what a plugin says is dropped, and what it asks is refused.
func WithPluginUI(ctx context.Context, ui *plugin.ClientUI) context.Context {
	return context.WithValue(ctx, pluginUIKey{}, ui)
}

func pluginUI(ctx context.Context) *plugin.ClientUI {
	if ui, ok := ctx.Value(pluginUIKey{}).(*plugin.ClientUI); ok {
		return ui
	}
	return &plugin.ClientUI{DisplayMessage: func(_, _ string) error { return nil }}
}

// pluginRecipient names the device in the errors of its plugin.
type pluginRecipient struct {
	*plugin.Recipient
	device string
}

func (r pluginRecipient) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	stanzas, labels, err := r.Recipient.WrapWithLabels(fileKey)
	if err != nil {
		err = &PluginError{Device: r.device, Plugin: r.Name(), Err: err}
	}
	return stanzas, labels, err
}

func (r pluginRecipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	stanzas, _, err := r.WrapWithLabels(fileKey)
	return stanzas, err
}

// recipients are the age recipients of every device of a vault.
func recipients(ctx context.Context, devices []Device) ([]age.Recipient, error) {
	if len(devices) > maxRecipients {
		return nil, fmt.Errorf("encrypt to %d devices: %w", len(devices), ErrTooLarge)
	}
	out := make([]age.Recipient, 0, len(devices))
	for i := range devices {
		r, err := parseRecipient(devices[i].Recipient)
		if err != nil {
			return nil, fmt.Errorf("encrypt to device %q: %w", devices[i].Name, err)
		}
		if _, ok := r.(*plugin.Recipient); ok {
			p, err := plugin.NewRecipient(devices[i].Recipient, pluginUI(ctx))
			if err != nil {
				return nil, fmt.Errorf("encrypt to device %q: %w", devices[i].Name, ErrUnsupportedRecipient)
			}
			r = pluginRecipient{p, devices[i].Name}
		}
		out = append(out, r)
	}
	return out, nil
}

const sshEd25519 = "ssh-ed25519 "

// parseRecipient takes what a vault can be encrypted to: X25519 (age1…),
// hybrid (age1pq1…), plugins (age1NAME1…) and ssh-ed25519, each in its one
// form.
func parseRecipient(s string) (age.Recipient, error) {
	bad := func(why string) error {
		return fmt.Errorf("recipient %q: %s: %w", shorten(s), why, ErrUnsupportedRecipient)
	}
	switch {
	case strings.HasPrefix(s, sshEd25519):
		if strings.Count(s, " ") != 1 || strings.ContainsAny(s, "\t\r\n") {
			return nil, bad("something after the ssh key")
		}
		r, err := agessh.ParseRecipient(s)
		if err != nil {
			return nil, bad("not an ssh-ed25519 public key")
		}
		return r, nil
	case strings.HasPrefix(s, "ssh-"), strings.HasPrefix(s, "ecdsa-"), strings.HasPrefix(s, "sk-"):
		return nil, bad("of ssh keys only ssh-ed25519 can be encrypted to")
	case isHybrid(s):
		if r, err := age.ParseHybridRecipient(s); err == nil && r.String() == s {
			return r, nil
		}
		return nil, bad("damaged")
	case strings.HasPrefix(s, "AGE-"):
		return nil, fmt.Errorf("recipient: that is a secret key; its public half begins with age1: %w", ErrUnsupportedRecipient)
	}
	if r, err := age.ParseX25519Recipient(s); err == nil && r.String() == s {
		return r, nil
	}
	name, data, err := plugin.ParseRecipient(s)
	if err != nil || plugin.EncodeRecipient(name, data) != s {
		return nil, bad("not age1…, age1pq1…, a plugin's age1NAME1… or ssh-ed25519")
	}
	r, err := plugin.NewRecipient(s, nil)
	if err != nil {
		return nil, bad("not a plugin's recipient")
	}
	return r, nil
}

// shorten makes a recipient fit a line: a hybrid one has 1,959 characters.
func shorten(s string) string {
	if len(s) > 80 {
		return s[:40] + "…"
	}
	return s
}

// NormalRecipient is the form in which a vault keeps a recipient that a person
// gave: without white space around it and without the comment of an ssh key.
func NormalRecipient(s string) (string, error) {
	fields := strings.Fields(s)
	if len(fields) > 1 && strings.HasPrefix(fields[0], "ssh-") {
		fields = []string{fields[0] + " " + fields[1]}
	}
	s = strings.Join(fields, " ")
	_, err := parseRecipient(s)
	return s, err
}

// RecipientPlugin names the plugin that a recipient needs, "" for none.
func RecipientPlugin(s string) string {
	if r, err := parseRecipient(s); err == nil {
		if p, ok := r.(*plugin.Recipient); ok {
			return p.Name()
		}
	}
	return ""
}

// native reports whether s is of a kind that kb itself holds the secret key of.
func native(s string) bool {
	r, err := parseRecipient(s)
	if err != nil {
		return false
	}
	switch r.(type) {
	case *age.X25519Recipient, *age.HybridRecipient:
		return true
	}
	return false
}

// checkMix refuses a device whose kind of key age would not mix with those
// that are there. What a plugin's recipient is, only the plugin knows: it
// comes out when the vault is saved.
func (tx *Tx) checkMix(d *Device) error {
	if RecipientPlugin(d.Recipient) != "" {
		return nil
	}
	for _, o := range tx.devices() {
		other := o.Recipient
		if other != d.Recipient && RecipientPlugin(other) == "" && isHybrid(other) != isHybrid(d.Recipient) {
			return &MixError{Name: d.Name, PostQuantum: isHybrid(other)}
		}
	}
	return nil
}

// mixed is age's own refusal to mix kinds of keys, which it has no type for,
// as an error of kb's. It comes up for recipients of plugins alone.
func mixed(err error, to []age.Recipient) error {
	if !strings.HasPrefix(err.Error(), "incompatible recipients") {
		return nil
	}
	mix := &MixError{}
	for _, r := range to {
		switch r := r.(type) {
		case *age.HybridRecipient:
			mix.PostQuantum = true
		case pluginRecipient:
			mix.Name = r.device
		}
	}
	return mix
}
