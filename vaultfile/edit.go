package vaultfile

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"kb/profile"
)

// Tx is a change being made to a vault by Edit. It is not for use by several
// goroutines, nor after the function that got it has returned.
type Tx struct {
	p       *payload
	id      *Identity
	now     stamp
	wall    time.Time
	index   map[string]int // record id -> place in p.records
	changed bool
}

func newTx(p *payload, id *Identity, wall time.Time) *Tx {
	q := *p
	q.records = slices.Clone(p.records)
	q.clock = p.clock.Clone()
	tx := &Tx{p: &q, id: id, wall: wall.UTC(), index: make(map[string]int, len(q.records))}
	var seen int64
	for i := range q.records {
		tx.index[q.records[i].id] = i
		seen = max(seen, q.records[i].stamp.hlc)
	}
	tx.now = stamp{tick(wall, seen), id.id}
	return tx
}

// Format shows the vault's id and none of its content.
func (tx *Tx) Format(s fmt.State, _ rune) { _, _ = fmt.Fprintf(s, "edit of vault %s", tx.p.vaultID) }

// errMeanwhile says that the file was replaced while an edit was made.
var errMeanwhile = errors.New("vault was replaced meanwhile")

// maxTries bounds how often Edit starts over because the file was replaced
// under it by something that does not take the lock, such as git.
const maxTries = 10

// Edit changes the vault: it locks it, reads it again, lets change put and
// delete records, and saves. If nothing changed, the file is left alone. An
// error from change abandons the edit. change may be called again, on a fresh
// Tx, when the file was replaced meanwhile.
func Edit(ctx context.Context, path string, id *Identity, mem Memory, change func(*Tx) error) (*File, error) {
	return edit(ctx, path, id, mem, change, time.Now)
}

func edit(ctx context.Context, path string, id *Identity, mem Memory, change func(*Tx) error, now func() time.Time) (*File, error) {
	if id.sign == nil {
		return nil, ErrReadOnly
	}
	unlock, err := mem.Lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock vault: %w", err)
	}
	defer func() { _ = unlock() }()
	for range maxTries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var f *File
		if f, err = editOnce(ctx, path, id, mem, change, now()); !errors.Is(err, errMeanwhile) {
			return f, err
		}
	}
	return nil, err
}

func editOnce(ctx context.Context, path string, id *Identity, mem Memory, change func(*Tx) error, now time.Time) (*File, error) {
	acc, err := load(ctx, mem)
	if err != nil {
		return nil, err
	}
	f, raw, err := read(ctx, path, id, acc, mem, now)
	if err != nil {
		return nil, err
	}
	tx := newTx(f.payload, id, now)
	if err := change(tx); err != nil {
		return nil, err
	}
	was := remembered{acc, raw}
	if f.unsaved {
		if was.file, err = mem.Kept(ctx); err != nil {
			return nil, err
		}
	} else if f.acc != acc {
		if err := mem.Accept(ctx, f.acc.encode(), raw); err != nil {
			return nil, fmt.Errorf("remember the vault: %w", err)
		}
		was.acc = f.acc
	}
	if !tx.changed && !f.unsaved {
		return f, nil
	}
	still := func() error {
		if f.Replaced() {
			return errMeanwhile
		}
		return nil
	}
	saved, err := tx.save(ctx, f.path, f.acc, sha256.Sum256(raw), mem, was, still)
	if saved != nil {
		saved.report = f.report
	}
	return saved, err
}

// put sets the fields of a record that this kb knows.
func (tx *Tx) put(typ, key string, fields []field) {
	id := typ + "/" + key
	i, ok := tx.index[id]
	if !ok {
		i = len(tx.p.records)
		tx.index[id] = i
		tx.p.records = append(tx.p.records, record{id: id, typ: typ, fields: fields, stamp: tx.now})
		tx.changed = true
		return
	}
	if tx.p.records[i].set(fields, tx.now, carried(typ)) {
		tx.changed = true
	}
}

func (tx *Tx) remove(typ, key string) error {
	id := typ + "/" + key
	i, ok := tx.index[id]
	if !ok || tx.p.records[i].deleted {
		return fmt.Errorf("delete %q: %w", id, ErrNotFound)
	}
	tx.p.records[i].remove(tx.now)
	tx.changed = true
	return nil
}

// invalid names what a Put cannot take.
func invalid(typ, key, what string) error {
	return fmt.Errorf("put %s %q: %s: %w", typ, key, what, ErrInvalid)
}

func checkText(typ, key string, texts ...string) error {
	if !validKey(key) {
		return invalid(typ, key, "bad name")
	}
	for _, s := range texts {
		if !validText(s) {
			return invalid(typ, key, "text that is too long or not UTF-8")
		}
	}
	return nil
}

// Contents returns the vault's records as this edit has left them so far.
func (tx *Tx) Contents() (Contents, error) {
	ordered := slices.Clone(tx.p.records)
	sortByID(ordered)
	c, err := decode(ordered)
	if err != nil {
		return Contents{}, err
	}
	return *c, nil
}

// PutProfile adds or replaces a profile. Where its Also is in conflict and is
// put as it was read, the conflict stays: another change does not settle it.
func (tx *Tx) PutProfile(p profile.Profile) error {
	if err := checkText("profile", p.Name, p.GitName, p.GitEmail, p.SigningKey, p.Egress); err != nil {
		return err
	}
	for _, a := range p.Also {
		if !validKey(a) {
			return invalid("profile", p.Name, "bad name in also")
		}
	}
	for k, v := range p.Expect {
		if !validKey(k) || !validText(v) {
			return invalid("profile", p.Name, "bad expect")
		}
	}
	fields := encodeProfile(&p)
	if i, ok := tx.index["profile/"+p.Name]; ok {
		fields = tx.p.records[i].keepConflict(fields)
	}
	tx.put("profile", p.Name, fields)
	return nil
}

// PutRule adds or replaces a rule and returns its id, which it makes if it is
// empty.
func (tx *Tx) PutRule(r profile.Rule) (string, error) {
	if r.ID == "" {
		r.ID = tx.newID("rule", "r")
	}
	if err := checkText("rule", r.ID, r.Profile, r.Remote, r.Dir, r.User, r.Machine, r.Agent); err != nil {
		return "", err
	}
	if r.Profile == "" || r.Remote+r.Dir+r.User+r.Machine+r.Agent == "" {
		return "", invalid("rule", r.ID, "no profile or no condition")
	}
	tx.put("rule", r.ID, encodeRule(&r))
	return r.ID, nil
}

// newID makes a short id that two devices do not choose alike.
func (tx *Tx) newID(typ, prefix string) string {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand)
		id := prefix + newHex(b[:])
		if _, taken := tx.index[typ+"/"+id]; !taken {
			return id
		}
	}
}

// PutLogin adds or replaces a login. Its ID may be empty; if not, it must be
// that of its profile, provider and name. Secrets that cannot travel in a
// header are refused.
func (tx *Tx) PutLogin(l Login) error {
	id := LoginID(l.Profile, l.Provider, l.As)
	if l.ID != "" && l.ID != id {
		return invalid("login", l.ID, "id that is not of its profile and provider")
	}
	if !validKey(l.Profile) || !validKey(l.Provider) || l.As != "" && !validKey(l.As) {
		return invalid("login", id, "bad name")
	}
	texts := append([]string{l.Method, l.Base, l.Account, l.Client}, l.Scopes...)
	if slices.Contains(l.Scopes, "") {
		return invalid("login", id, "empty scope")
	}
	for k, v := range l.Refs {
		if texts = append(texts, v); !validKey(k) {
			return invalid("login", id, "bad field name")
		}
	}
	for k, v := range l.Secrets {
		if texts = append(texts, v.Reveal()); !validKey(k) {
			return invalid("login", id, "bad field name")
		}
		if err := v.Check(); err != nil {
			return fmt.Errorf("put %q: field %q: %w", id, k, err)
		}
	}
	if err := checkText("login", l.Profile, texts...); err != nil {
		return invalid("login", id, "text that is too long or not UTF-8")
	}
	l.After = tx.after("login", strings.TrimPrefix(id, "login/"), l.secrets())
	tx.put("login", strings.TrimPrefix(id, "login/"), encodeLogin(&l))
	return nil
}

// PutProvider adds or replaces a provider definition, and settles a conflict
// about it.
func (tx *Tx) PutProvider(p Provider) error {
	if err := checkText("provider", p.Name, p.TOML, p.Replaces); err != nil {
		return err
	}
	tx.put("provider", p.Name, encodeProvider(&p))
	tx.Settle("provider", p.Name)
	return nil
}

// PutClient adds or replaces an OAuth client, whose secret is a value or a
// reference.
func (tx *Tx) PutClient(c Client) error {
	if err := checkText("client", c.Name, c.Issuer, c.ClientID, c.ClientSecret.Reveal(), c.SecretRef, c.RegistrationToken.Reveal(), c.RegistrationURI, c.Redirect); err != nil {
		return err
	}
	if c.SecretRef != "" && !c.ClientSecret.IsZero() {
		return invalid("client", c.Name, "a secret and a reference in its place")
	}
	c.After = tx.after("client", c.Name, c.secrets())
	tx.put("client", c.Name, encodeClient(&c))
	return nil
}

// PutPolicy adds or replaces a policy line and returns its id, which it makes
// if it is empty.
func (tx *Tx) PutPolicy(p Policy) (string, error) {
	if p.ID == "" {
		p.ID = tx.newID("policy", "p")
	}
	if err := checkText("policy", p.ID, append([]string{p.Profile, p.Provider, p.Host, p.Path, p.Repository}, p.Methods...)...); err != nil {
		return "", err
	}
	switch {
	case p.Profile == "":
		return "", invalid("policy", p.ID, "no profile")
	case !slices.Contains([]string{"allow", "deny", "ask", "limit"}, p.Effect):
		return "", invalid("policy", p.ID, "unknown effect")
	case !slices.Contains([]string{"", "read", "write"}, p.Git):
		return "", invalid("policy", p.ID, "unknown kind of git request")
	case (p.Effect == "limit") != (p.PerMinute > 0) || p.PerMinute < 0 || p.PerMinute > 1<<31-1 || slices.Contains(p.Methods, ""):
		return "", invalid("policy", p.ID, "bad limit or method")
	}
	tx.put("policy", p.ID, encodePolicy(&p))
	return p.ID, nil
}

// PutSetting sets a synced setting; an empty value is kept as such.
func (tx *Tx) PutSetting(s Setting) error {
	if err := checkText("setting", s.Name, s.Value); err != nil {
		return err
	}
	tx.put("setting", s.Name, encodeSetting(&s))
	return nil
}

// DeleteProfile removes a profile. Its rules and logins stay: the caller
// removes those it means to.
func (tx *Tx) DeleteProfile(name string) error { return tx.remove("profile", name) }

// DeleteRule removes a rule.
func (tx *Tx) DeleteRule(id string) error { return tx.remove("rule", id) }

// DeleteLogin removes a login by its id (see LoginID).
func (tx *Tx) DeleteLogin(id string) error {
	return tx.remove("login", strings.TrimPrefix(id, "login/"))
}

// DeleteProvider removes a provider definition.
func (tx *Tx) DeleteProvider(name string) error { return tx.remove("provider", name) }

// DeleteClient removes an OAuth client.
func (tx *Tx) DeleteClient(name string) error { return tx.remove("client", name) }

// DeletePolicy removes a policy line.
func (tx *Tx) DeletePolicy(id string) error { return tx.remove("policy", id) }

// DeleteSetting removes a synced setting.
func (tx *Tx) DeleteSetting(name string) error { return tx.remove("setting", name) }

// IsNotExist reports whether there is no vault at the path that Open was
// given.
func IsNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
