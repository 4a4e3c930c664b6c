package vaultfile

import (
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"kb/internal/secret"
	"kb/profile"
)

// What the values of format 1's record types hold. A field that is absent is
// zero, and a zero field is never written. Things that only mean something
// together are one field, so that a merge never mixes two devices' halves: a
// login's secrets with the base URL they are for, all conditions of a rule.

// schema lists the fields of each type that this kb writes itself; others are
// carried along.
var schema = map[string][]string{
	"profile":  {"also", "apart", "egress", "expect", "git_email", "git_name", "signing_key"},
	"rule":     {"select"},
	"login":    {"created", "credential", "device_only"},
	"provider": {"apart", "definition"},
	"client":   {"registration"},
	"policy":   {"rule"},
	"device":   {"created", "grant", "kind", "name", "vouched"},
	"setting":  {"value"},
}

func carried(typ string) func(string) bool {
	return func(name string) bool { return !slices.Contains(schema[typ], name) }
}

// object writes a JSON object whose members are given in order.
type object struct{ b []byte }

func (o *object) key(name string) {
	if len(o.b) == 0 {
		o.b = append(o.b, '{')
	} else {
		o.b = append(o.b, ',')
	}
	o.b = append(appendString(o.b, name), ':')
}

func (o *object) str(name, v string) {
	if v != "" {
		o.key(name)
		o.b = appendString(o.b, v)
	}
}

func (o *object) integer(name string, v int64) {
	if v != 0 {
		o.key(name)
		o.b = appendInt(o.b, v)
	}
}

func (o *object) time(name string, v time.Time) {
	if !v.IsZero() {
		o.integer(name, v.Unix())
	}
}

func (o *object) raw(name string, v []byte) {
	if v != nil {
		o.key(name)
		o.b = append(o.b, v...)
	}
}

func (o *object) done() []byte {
	if len(o.b) == 0 {
		return []byte("{}")
	}
	return append(o.b, '}')
}

func strList(v []string) []byte {
	if len(v) == 0 {
		return nil
	}
	b := []byte{'['}
	for i, e := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, e)
	}
	return append(b, ']')
}

func strMap[V any](m map[string]V, text func(V) string) []byte {
	if len(m) == 0 {
		return nil
	}
	var o object
	for _, k := range slices.SortedFunc(maps.Keys(m), keyCompare) {
		o.key(k)
		o.b = appendString(o.b, text(m[k]))
	}
	return o.done()
}

func same(s string) string { return s }

func reveal(v secret.Value) string { return v.Reveal() }

// oneField is the value of the types that are a single field.
func oneField(name string, raw []byte) []field { return []field{{name, raw}} }

func strField(fs []field, name, v string) []field {
	if v == "" {
		return fs
	}
	return append(fs, field{name, appendString(nil, v)})
}

func rawField(fs []field, name string, raw []byte) []field {
	if raw == nil {
		return fs
	}
	return append(fs, field{name, raw})
}

func intField(fs []field, name string, v int64) []field {
	if v == 0 {
		return fs
	}
	return append(fs, field{name, appendInt(nil, v)})
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func encodeProfile(p *profile.Profile) []field {
	also := slices.Clone(p.Also)
	slices.Sort(also)
	fs := rawField(nil, "also", strList(slices.Compact(also)))
	fs = strField(fs, "egress", p.Egress)
	fs = rawField(fs, "expect", strMap(p.Expect, same))
	fs = strField(fs, "git_email", p.GitEmail)
	fs = strField(fs, "git_name", p.GitName)
	return strField(fs, "signing_key", p.SigningKey)
}

func encodeRule(r *profile.Rule) []field {
	var o object
	o.str("agent", r.Agent)
	o.str("dir", r.Dir)
	o.str("machine", r.Machine)
	o.str("profile", r.Profile)
	o.str("remote", r.Remote)
	o.str("user", r.User)
	return oneField("select", o.done())
}

func encodeLogin(l *Login) []field {
	var o object
	o.str("account", l.Account)
	o.raw("after", strList(l.After))
	o.str("base", l.Base)
	o.str("client", l.Client)
	o.time("expires", l.Expires)
	o.str("method", l.Method)
	o.raw("refs", strMap(l.Refs, same))
	o.raw("scopes", strList(l.Scopes))
	o.raw("secrets", strMap(l.Secrets, reveal))
	fs := rawField(intField(nil, "created", unix(l.Created)), "credential", o.done())
	if l.DeviceOnly {
		fs = append(fs, field{"device_only", []byte("true")})
	}
	return fs
}

func encodeProvider(p *Provider) []field {
	var o object
	o.str("replaces", p.Replaces)
	o.str("toml", p.TOML)
	return oneField("definition", o.done())
}

func encodeClient(c *Client) []field {
	var o object
	o.raw("after", strList(c.After))
	o.str("client_id", c.ClientID)
	o.str("client_secret", c.ClientSecret.Reveal())
	o.str("client_secret_ref", c.SecretRef)
	o.time("expires", c.Expires)
	o.str("issuer", c.Issuer)
	o.str("redirect", c.Redirect)
	o.str("registration_token", c.RegistrationToken.Reveal())
	o.str("registration_uri", c.RegistrationURI)
	return oneField("registration", o.done())
}

func encodePolicy(p *Policy) []field {
	var o object
	o.str("effect", p.Effect)
	o.str("git", p.Git)
	o.str("host", p.Host)
	o.raw("methods", strList(p.Methods))
	if p.Mint {
		o.raw("mint", []byte("true"))
	}
	o.str("path", p.Path)
	o.integer("per_minute", int64(p.PerMinute))
	o.str("profile", p.Profile)
	o.str("provider", p.Provider)
	o.str("repository", p.Repository)
	return oneField("rule", o.done())
}

func encodeDevice(d *Device) []field {
	var g object
	g.str("added_by", d.AddedBy)
	g.str("recipient", d.Recipient)
	g.str("sign_key", base64.StdEncoding.EncodeToString(d.SignKey))
	fs := intField(nil, "created", unix(d.Created))
	fs = rawField(fs, "grant", g.done())
	fs = strField(fs, "kind", d.Kind)
	fs = strField(fs, "name", d.Name)
	return rawField(fs, "vouched", strMap(d.Vouched, base64.StdEncoding.EncodeToString))
}

func encodeSetting(s *Setting) []field { return strField(nil, "value", s.Value) }

// validText says whether a string can stand in a vault: valid UTF-8 of a
// bounded length.
func validText(s string) bool { return len(s) <= 1<<20 && utf8.ValidString(s) }

// validKey says whether a string can be a key of an object, an element with a
// stamp, or a part of a record's id.
func validKey(s string) bool {
	return s != "" && len(s) <= 128 && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '"' || r == '\\' || r == '/' })
}
