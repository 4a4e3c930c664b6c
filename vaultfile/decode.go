package vaultfile

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"kb/internal/secret"
	"kb/profile"
)

// decoder reads the fields that this kb knows out of canonical bytes, and
// remembers whether any was of another type than the schema says.
type decoder struct {
	scanner
	bad   bool
	newer string // an unknown member of what must be known whole
	seen  map[string]string
}

func newDecoder() *decoder { return &decoder{seen: map[string]string{}} }

func (d *decoder) at(raw []byte) *decoder {
	d.b, d.i, d.err = raw, 0, nil
	return d
}

// word is text that recurs.
func (d *decoder) word(to *string) bool {
	raw, escaped, ok := d.str()
	if escaped {
		raw = []byte(unescape(raw))
	}
	if *to = intern(d.seen, raw); !ok || len(raw) == 0 {
		d.bad = true
	}
	return ok
}

func (d *decoder) text(to *string) bool {
	v, ok := d.scanner.text()
	if !ok || v == "" { // an empty field is never written
		d.bad = true
	}
	*to = v
	return ok
}

func (d *decoder) value(to *secret.Value) bool {
	var s string
	ok := d.text(&s)
	*to = secret.New(s)
	return ok
}

func (d *decoder) whole(to *int64) bool {
	v, ok := d.integer()
	if !ok || v == 0 {
		d.bad = true
	}
	*to = v
	return ok
}

func (d *decoder) time(to *time.Time) bool {
	var v int64
	ok := d.whole(&v)
	*to = time.Unix(v, 0).UTC()
	return ok
}

func (d *decoder) bytes(to *[]byte) bool {
	var s string
	ok := d.text(&s)
	v, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		d.bad = true
	}
	*to = v
	return ok
}

func (d *decoder) texts(to *[]string) bool {
	ok := d.list(func() bool {
		var s string
		ok := d.text(&s)
		*to = append(*to, s)
		return ok
	})
	if !ok || len(*to) == 0 {
		d.bad = true
	}
	return ok
}

// devices reads a sorted list of device ids.
func (d *decoder) devices(to *[]string) bool {
	ok := d.texts(to)
	for i, id := range *to {
		d.bad = d.bad || !isDeviceID(id) || i > 0 && (*to)[i-1] >= id
	}
	return ok
}

func decodeMap[V any](d *decoder, to *map[string]V, make1 func(string) V) bool {
	*to = map[string]V{}
	ok := d.object(func(k []byte) bool {
		key := intern(d.seen, k)
		v, ok := d.scanner.text()
		if !validKey(key) {
			d.bad = true
		}
		(*to)[key] = make1(v)
		return ok
	})
	if !ok || len(*to) == 0 {
		d.bad = true
	}
	return ok
}

// members reads an object of the format's own, all of whose members are known.
func (d *decoder) members(member func(name string) bool) bool {
	ok := d.object(func(k []byte) bool { return member(intern(d.seen, k)) })
	if !ok {
		d.bad = true
	}
	return ok
}

// room is an empty slice for n; nil for none.
func room[T any](n int) []T {
	if n == 0 {
		return nil
	}
	return make([]T, 0, n)
}

// decode reads every live record.
func decode(records []record) (*Contents, error) {
	n := map[string]int{}
	for i := range records {
		n[records[i].typ]++
	}
	c := &Contents{Profiles: room[profile.Profile](n["profile"]), Rules: room[profile.Rule](n["rule"]), Logins: room[Login](n["login"])}
	d := newDecoder()
	for i := range records {
		r := &records[i]
		if r.deleted {
			continue
		}
		key := r.id[len(r.typ)+1:]
		ok := key != ""
		switch r.typ {
		case "profile":
			c.Profiles = append(c.Profiles, d.profile(r, key))
		case "rule":
			c.Rules = append(c.Rules, d.rule(r, key))
		case "login":
			var l Login
			if l, ok = d.login(r, key); ok {
				c.Logins = append(c.Logins, l)
			}
		case "provider":
			c.Providers = append(c.Providers, d.provider(r, key))
		case "client":
			c.Clients = append(c.Clients, d.client(r, key))
		case "policy":
			c.Policies = append(c.Policies, d.policy(r, key))
		case "device":
			dev := d.device(r, key)
			ok = isDeviceID(key) && (dev.Kind == KindDevice && len(dev.SignKey) == 32 ||
				dev.Kind == KindCI && len(dev.SignKey) == 0 ||
				dev.Kind == KindRecovery && (len(dev.SignKey) == 0 || len(dev.SignKey) == 32))
			c.Devices = append(c.Devices, dev)
		case "setting":
			c.Settings = append(c.Settings, d.setting(r, key))
		}
		if conflict, apart := r.conflict(); apart {
			c.Conflicts = append(c.Conflicts, conflict)
		}
		if d.newer != "" {
			return nil, &NewerVersionError{Feature: "member " + strconv.Quote(d.newer) + " of a " + r.typ}
		}
		if !ok || d.bad {
			return nil, &FormatError{Kind: ErrMalformed, Offset: -1, What: "a " + r.typ + " whose value breaks its schema"}
		}
	}
	return c, nil
}

func (d *decoder) profile(r *record, name string) profile.Profile {
	p := profile.Profile{Name: name}
	for _, f := range r.fields {
		switch d.at(f.raw); f.name {
		case "also":
			d.also(&p.Also)
		case apart:
			for _, v := range r.guard().versions {
				if v.raw != nil {
					var names []string
					d.at(v.raw).also(&names)
					d.bad = d.bad || d.i != len(v.raw)
				}
			}
			p.Also = r.guard().common()
		case "egress":
			d.text(&p.Egress)
		case "expect":
			decodeMap(d, &p.Expect, same)
		case "git_email":
			d.text(&p.GitEmail)
		case "git_name":
			d.text(&p.GitName)
		case "signing_key":
			d.text(&p.SigningKey)
		}
	}
	return p
}

// also reads a sorted list of names.
func (d *decoder) also(to *[]string) {
	d.texts(to)
	for i, name := range *to {
		d.bad = d.bad || !validKey(name) || i > 0 && (*to)[i-1] >= name
	}
}

func (d *decoder) rule(r *record, id string) profile.Rule {
	v := profile.Rule{ID: id}
	d.one(r, "select", func(name string) bool {
		switch name {
		case "agent":
			return d.text(&v.Agent)
		case "dir":
			return d.text(&v.Dir)
		case "machine":
			return d.text(&v.Machine)
		case "profile":
			return d.text(&v.Profile)
		case "remote":
			return d.text(&v.Remote)
		case "user":
			return d.text(&v.User)
		}
		return d.unknown(name)
	})
	return v
}

// one reads the members of the record's field name, which must be there.
func (d *decoder) one(r *record, name string, member func(string) bool) {
	raw := r.field(name)
	if raw == nil {
		d.bad = true
		return
	}
	d.at(raw).members(member)
}

// unknown refuses a member that this kb does not know of a field that is one
// whole: without a condition of a newer kb, a rule would match more than it
// should.
func (d *decoder) unknown(name string) bool {
	d.newer = name
	return false
}

func (d *decoder) login(r *record, key string) (Login, bool) {
	l := Login{ID: r.id}
	var named bool
	l.Profile, key, _ = strings.Cut(key, "/")
	l.Provider, l.As, named = strings.Cut(key, "/")
	if !validKey(l.Profile) || !validKey(l.Provider) || named && !validKey(l.As) {
		return l, false
	}
	if raw := r.field("created"); raw != nil {
		d.at(raw).time(&l.Created)
	}
	if raw := r.field("device_only"); raw != nil {
		l.DeviceOnly = true
		d.bad = d.bad || string(raw) != "true"
	}
	d.one(r, "credential", func(name string) bool {
		switch name {
		case "account":
			return d.text(&l.Account)
		case "after":
			return d.devices(&l.After)
		case "base":
			return d.text(&l.Base)
		case "client":
			return d.text(&l.Client)
		case "expires":
			return d.time(&l.Expires)
		case "method":
			return d.word(&l.Method)
		case "refs":
			return decodeMap(d, &l.Refs, same)
		case "scopes":
			return d.texts(&l.Scopes)
		case "secrets":
			return decodeMap(d, &l.Secrets, secret.New)
		}
		return d.unknown(name)
	})
	return l, true
}

func (d *decoder) provider(r *record, name string) Provider {
	p := Provider{Name: name}
	raw := r.field("definition")
	for _, v := range r.guard().versions[min(1, len(r.guard().versions)):] {
		d.definition(v.raw, &Provider{})
	}
	d.definition(raw, &p)
	return p
}

func (d *decoder) definition(raw []byte, p *Provider) {
	if raw == nil {
		d.bad = true
		return
	}
	d.at(raw).members(func(name string) bool {
		switch name {
		case "replaces":
			return d.text(&p.Replaces)
		case "toml":
			return d.text(&p.TOML)
		}
		return d.unknown(name)
	})
}

func (d *decoder) client(r *record, name string) Client {
	c := Client{Name: name}
	d.one(r, "registration", func(name string) bool {
		switch name {
		case "after":
			return d.devices(&c.After)
		case "client_id":
			return d.text(&c.ClientID)
		case "client_secret":
			return d.value(&c.ClientSecret)
		case "client_secret_ref":
			return d.text(&c.SecretRef)
		case "expires":
			return d.time(&c.Expires)
		case "issuer":
			return d.text(&c.Issuer)
		case "redirect":
			return d.text(&c.Redirect)
		case "registration_token":
			return d.value(&c.RegistrationToken)
		case "registration_uri":
			return d.text(&c.RegistrationURI)
		}
		return d.unknown(name)
	})
	return c
}

func (d *decoder) policy(r *record, id string) Policy {
	p := Policy{ID: id}
	d.one(r, "rule", func(name string) bool {
		switch name {
		case "effect":
			return d.text(&p.Effect)
		case "git":
			return d.text(&p.Git)
		case "host":
			return d.text(&p.Host)
		case "methods":
			return d.texts(&p.Methods)
		case "mint":
			v, ok := d.boolean()
			p.Mint = v
			d.bad = d.bad || !v
			return ok
		case "path":
			return d.text(&p.Path)
		case "per_minute":
			var v int64
			ok := d.whole(&v)
			d.bad = d.bad || v < 0 || v > 1<<31-1
			p.PerMinute = int(v)
			return ok
		case "profile":
			return d.text(&p.Profile)
		case "provider":
			return d.text(&p.Provider)
		case "repository":
			return d.text(&p.Repository)
		}
		return d.unknown(name)
	})
	if d.bad || d.newer != "" {
		return p
	}
	// A line is enforced as it is meant, or the vault is not used.
	switch p.Effect {
	case "allow", "deny", "ask", "limit":
	default:
		d.newer = "effect=" + p.Effect
	}
	if p.Git != "" && p.Git != "read" && p.Git != "write" {
		d.newer = "git=" + p.Git
	}
	d.bad = p.Profile == "" || (p.Effect == "limit") != (p.PerMinute > 0)
	return p
}

func (d *decoder) device(r *record, id string) Device {
	v := Device{ID: id}
	for _, f := range r.fields {
		switch d.at(f.raw); f.name {
		case "created":
			d.time(&v.Created)
		case "kind":
			d.text(&v.Kind)
		case "name":
			d.text(&v.Name)
		case "vouched":
			decodeMap(d, &v.Vouched, func(s string) []byte {
				sig, err := base64.StdEncoding.Strict().DecodeString(s)
				d.bad = d.bad || err != nil || len(sig) != 64
				return sig
			})
		}
	}
	d.one(r, "grant", func(name string) bool {
		switch name {
		case "added_by":
			return d.text(&v.AddedBy)
		case "recipient":
			return d.text(&v.Recipient)
		case "sign_key":
			return d.bytes(&v.SignKey)
		}
		return d.unknown(name)
	})
	return v
}

func (d *decoder) setting(r *record, name string) Setting {
	s := Setting{Name: name}
	if raw := r.field("value"); raw != nil {
		d.at(raw).text(&s.Value)
	}
	return s
}
