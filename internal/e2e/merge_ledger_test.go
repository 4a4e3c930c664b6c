package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"kb/internal/secret"
	"kb/profile"
	"kb/vaultfile"
)

// From the model's ledger to a vault and back.

// names are the model's names of records whose ids kb makes by chance.
type names struct {
	ids      map[string]*vaultfile.Identity // devices, by the model's name
	of, from map[string]string
}

func newNames(ids map[string]*vaultfile.Identity) *names {
	n := &names{ids: maps.Clone(ids), of: map[string]string{}, from: map[string]string{}}
	for record, id := range ids {
		n.call(record, "device/"+id.ID())
	}
	return n
}

func (n *names) call(model, real string) { n.of[model], n.from[real] = real, model }

func (n *names) real(model string) string {
	if r, ok := n.of[model]; ok {
		return r
	}
	return model
}

func (n *names) model(real string) string {
	if m, ok := n.from[real]; ok {
		return m
	}
	return real
}

// identity is that of a device, made if it is a new one.
func (n *names) identity(record, name string) (*vaultfile.Identity, error) {
	if n.ids[record] == nil {
		id, err := vaultfile.NewIdentity(name, nil)
		if err != nil {
			return nil, err
		}
		n.ids[record] = id
		n.call(record, "device/"+id.ID())
	}
	return n.ids[record], nil
}

// change does writes to a vault: it removes what they remove and puts each
// other record as the ledger has it after them.
func change(tx *vaultfile.Tx, n *names, writes []write, after ledger) error {
	done := map[string]bool{}
	for _, w := range writes {
		var err error
		switch {
		case w.field == "" && w.gone:
			err = drop(tx, n, w.record)
		case !done[w.record]:
			done[w.record] = true
			err = put(tx, n, w.record, after[w.record])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w.record, err)
		}
	}
	return nil
}

func drop(tx *vaultfile.Tx, n *names, record string) error {
	typ, id, _ := strings.Cut(n.real(record), "/")
	switch typ {
	case "profile":
		return tx.DeleteProfile(id)
	case "rule":
		return tx.DeleteRule(id)
	case "login":
		return tx.DeleteLogin("login/" + id)
	case "provider":
		return tx.DeleteProvider(id)
	case "client":
		return tx.DeleteClient(id)
	case "device":
		return tx.DeleteDevice(id)
	}
	return fmt.Errorf("no way to remove a %s", typ)
}

func put(tx *vaultfile.Tx, n *names, record string, f map[string]string) error {
	typ, id, _ := strings.Cut(n.real(record), "/")
	switch typ {
	case "profile":
		p := profile.Profile{Name: id, GitName: f["git_name"], GitEmail: f["git_email"], Also: strings.Fields(f["also"]), Expect: map[string]string{}}
		for _, field := range expectations(f) {
			p.Expect[strings.TrimPrefix(field, "expect.")] = f[field]
		}
		return tx.PutProfile(p)
	case "rule":
		of, remote, _ := strings.Cut(f["select"], " ")
		_, err := tx.PutRule(profile.Rule{ID: id, Profile: of, Remote: remote})
		return err
	case "login":
		parts := strings.Split(id, "/")
		created, err := strconv.ParseInt(f["created"], 10, 64)
		if err != nil {
			return err
		}
		l := vaultfile.Login{
			Profile: parts[0], Provider: parts[1], Method: "key", Created: time.Unix(created, 0).UTC(),
			Secrets: map[string]secret.Value{"api_key": secret.New(f["credential"])},
		}
		if len(parts) == 3 {
			l.As = parts[2]
		}
		return tx.PutLogin(l)
	case "provider":
		return tx.PutProvider(vaultfile.Provider{Name: id, TOML: f["definition"]})
	case "setting":
		return tx.PutSetting(vaultfile.Setting{Name: id, Value: f["value"]})
	case "client":
		clientID, clientSecret, _ := strings.Cut(f["registration"], " ")
		return tx.PutClient(vaultfile.Client{Name: id, ClientID: clientID, ClientSecret: secret.New(clientSecret)})
	case "device":
		return putDevice(tx, n, record, f["name"])
	}
	return fmt.Errorf("no way to put a %s", typ)
}

func putDevice(tx *vaultfile.Tx, n *names, record, name string) error {
	id, err := n.identity(record, name)
	if err != nil {
		return err
	}
	c, err := tx.Contents()
	if err != nil {
		return err
	}
	d := vaultfile.Device{ID: id.ID(), Recipient: id.Recipient(), SignKey: id.SignKey(), Kind: vaultfile.KindDevice, Created: time.Unix(1_700_000_000, 0).UTC()}
	if i := slices.IndexFunc(c.Devices, func(there vaultfile.Device) bool { return there.ID == d.ID }); i >= 0 {
		d = c.Devices[i]
	}
	d.Name = name
	return tx.PutDevice(d)
}

// ledgerOf writes a vault down as the model does.
func ledgerOf(c vaultfile.Contents, n *names, typed bool) ledger {
	l := ledger{}
	note := func(record string, fields map[string]string) {
		maps.DeleteFunc(fields, func(_, v string) bool { return v == "" })
		l[n.model(record)] = fields
	}
	for _, p := range c.Profiles {
		f := map[string]string{
			"git_name": p.GitName, "git_email": p.GitEmail, "signing_key": p.SigningKey, "egress": p.Egress, "also": strings.Join(p.Also, " "),
		}
		for provider, account := range p.Expect {
			f["expect."+provider] = account
		}
		note("profile/"+p.Name, f)
	}
	for _, r := range c.Rules {
		note("rule/"+r.ID, map[string]string{"select": r.Profile + " " + r.Remote + r.Dir + r.User + r.Machine + r.Agent})
	}
	for _, login := range c.Logins {
		f := map[string]string{"created": strconv.FormatInt(login.Created.Unix(), 10), "account": login.Account, "base": login.Base, "client": login.Client}
		for name, value := range login.Secrets {
			f["credential"] += value.Reveal()
			if name != "api_key" || login.Method != "key" {
				f["credential"] += " as " + name + " of " + login.Method
			}
		}
		note(login.ID, f)
	}
	for _, p := range c.Providers {
		note("provider/"+p.Name, map[string]string{"definition": p.TOML, "replaces": p.Replaces})
	}
	for _, conflict := range c.Conflicts {
		if record := conflict.Type + "/" + conflict.Key; conflict.Type == "provider" && l[record] != nil {
			l[record]["definition"] = disputed
		}
	}
	for _, s := range c.Settings {
		if strings.HasPrefix(s.Name, "removed.") {
			continue // what a removed device was called, for the rotation checklist
		}
		l["setting/"+s.Name] = map[string]string{"value": s.Value}
	}
	for _, client := range c.Clients {
		note("client/"+client.Name, map[string]string{"registration": client.ClientID + " " + client.ClientSecret.Reveal()})
	}
	for _, d := range c.Devices {
		note("device/"+d.ID, map[string]string{"name": d.Name})
	}
	return bare(l, typed)
}

// bare leaves out what kb's commands make by the clock.
func bare(l ledger, typed bool) ledger {
	if l = l.clone(); typed {
		for _, fields := range l {
			delete(fields, "created")
		}
	}
	return l
}

func equalLedgers(a, b ledger) bool {
	return maps.EqualFunc(a, b, func(x, y map[string]string) bool { return maps.Equal(x, y) })
}

// difference lists what differs, by record and field.
func difference(got, want ledger) string {
	var b strings.Builder
	for _, record := range slices.Sorted(maps.Keys(union(got, want))) {
		switch {
		case got[record] == nil:
			fmt.Fprintf(&b, "  %s: is not there, want %q\n", record, want[record])
		case want[record] == nil:
			fmt.Fprintf(&b, "  %s: is there with %q, want it gone\n", record, got[record])
		default:
			for _, field := range slices.Sorted(maps.Keys(union(got[record], want[record]))) {
				if got[record][field] != want[record][field] {
					fmt.Fprintf(&b, "  %s %s: %q, want %q\n", record, field, got[record][field], want[record][field])
				}
			}
		}
	}
	return b.String()
}
