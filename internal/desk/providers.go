package desk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/term"
	"kb/providers"
	"kb/tui"
	"kb/vaultfile"
)

// Providers implements tui.Backend. Where there is no vault, it is the catalogue
// that ships.
func (d *Desk) Providers(ctx context.Context) ([]tui.Provider, error) {
	b, err := d.open(ctx)
	if err != nil {
		catalog, err := providers.NewCatalog()
		if err != nil {
			return nil, err
		}
		return describeAll(catalog, nil)
	}
	used := map[string][]string{}
	for _, l := range b.All().Logins {
		used[l.Provider] = append(used[l.Provider], name(b.Show(l.Profile), l.As))
	}
	list, err := describeAll(b.Catalog(), used)
	if err != nil {
		return nil, d.advise(err)
	}
	for i := range list {
		if b.Catalog().Own(list[i].Name) {
			list[i].Vault = b.VaultName()
			list[i].Source = "vault " + b.VaultName()
		}
	}
	for _, own := range b.OwnElsewhere() {
		p := describeProvider(own.Provider, used[own.Name])
		p.Vault, p.Source = own.Vault, "vault "+own.Vault
		list = append(list, p)
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list, nil
}

func describeAll(catalog *providers.Catalog, used map[string][]string) ([]tui.Provider, error) {
	all, err := catalog.All()
	if err != nil {
		return nil, err
	}
	list := make([]tui.Provider, len(all))
	for i, p := range all {
		list[i] = describeProvider(p, used[p.Name])
	}
	return list, nil
}

// describeProvider is a definition as the dashboard shows it.
func describeProvider(p *providers.Provider, used []string) tui.Provider {
	t := tui.Provider{
		Name: p.Name, Title: p.Title, Hosts: p.Hosts, Logins: len(used), UsedBy: used, Source: "built in",
		Docs: p.Docs, Note: p.Note, Unverified: p.Unverified, Replaces: p.Replaces,
	}
	env := map[string]string{}
	for _, m := range p.Login.Methods() {
		if k := kind(m); !slices.Contains(t.Kinds, k) {
			t.Kinds = append(t.Kinds, k)
		}
		maps.Copy(env, p.EnvFor(m.Name))
		if m.Page != "" {
			t.Pages = append(t.Pages, m.Name+"  "+m.Page)
		}
		for _, scope := range m.Scopes {
			if !slices.Contains(t.Scopes, scope) {
				t.Scopes = append(t.Scopes, scope)
			}
		}
	}
	maps.Copy(env, p.EnvFor(""))
	for _, variable := range slices.Sorted(maps.Keys(env)) {
		t.Env = append(t.Env, variable+"="+env[variable])
	}
	for i := range p.Inject {
		t.Injects = append(t.Injects, injects(&p.Inject[i])...)
	}
	for _, m := range p.Mints {
		t.Mints = append(t.Mints, strings.TrimSpace(m.Method+" "+m.Path))
	}
	return t
}

// injects says what a rule puts on requests, and where.
func injects(in *providers.Inject) (lines []string) {
	on := "  on " + strings.Join(in.Hosts, " ")
	if len(in.Paths) > 0 {
		on += "  " + strings.Join(in.Paths, " ")
	}
	if in.Method != "" {
		on += "  (" + in.Method + ")"
	}
	shown := strings.NewReplacer("{", "<", "}", ">")
	for _, name := range slices.Sorted(maps.Keys(in.Header)) {
		lines = append(lines, shown.Replace(name+": "+in.Header[name])+on)
	}
	if in.Basic != nil {
		lines = append(lines, shown.Replace("Authorization: Basic "+in.Basic.Username+":"+in.Basic.Password)+on)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Query)) {
		lines = append(lines, shown.Replace("?"+name+"="+in.Query[name])+on)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Cookie)) {
		lines = append(lines, shown.Replace("Cookie: "+name+"="+in.Cookie[name])+on)
	}
	return lines
}

// of is the broker for the vault of that name: an edit is of the default one
// unless it is opened for another.
func (d *Desk) of(ctx context.Context, vault string) (*broker.Broker, error) {
	b, err := d.open(ctx)
	if err != nil || vault == "" || vault == b.VaultName() {
		return b, err
	}
	o := d.o.Broker
	o.Vault, o.Any = vault, false
	if b, err = broker.Open(ctx, o); err != nil {
		return nil, d.advise(err)
	}
	return b, nil
}

// own finds a definition of the user's own.
func own(b *broker.Broker, name string) (vaultfile.Provider, error) {
	for _, p := range b.Contents().Providers {
		if p.Name == name {
			return p, nil
		}
	}
	return vaultfile.Provider{}, hint.Wrap(fmt.Errorf("find provider %q: it is not one of your own", name), "run kb provider ls")
}

// LintProvider implements tui.Backend.
func (d *Desk) LintProvider(ctx context.Context, vault, name string) ([]string, error) {
	b, err := d.of(ctx, vault)
	if err != nil {
		return nil, err
	}
	p, err := own(b, name)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, f := range providers.Lint([]byte(p.TOML)) {
		lines = append(lines, f.String())
	}
	return lines, nil
}

// RemoveProvider implements tui.Backend.
func (d *Desk) RemoveProvider(ctx context.Context, vault, name string) (string, error) {
	b, err := d.of(ctx, vault)
	if err != nil {
		return "", err
	}
	if _, err := own(b, name); err != nil {
		return "", err
	}
	if err := b.Edit(ctx, func(tx *vaultfile.Tx) error { return tx.DeleteProvider(name) }); err != nil {
		return "", d.advise(err)
	}
	return "provider " + name + " has left the vault", nil
}

// browserPatience is how long OpenPage waits for what opens a browser: some
// programs end with their window, and the dashboard does not wait for that.
const browserPatience = 2 * time.Second

// OpenPage implements tui.Backend.
func (d *Desk) OpenPage(ctx context.Context, url string) error {
	desktop := term.Desktop{Getenv: d.o.Getenv}
	if ok, why := desktop.Browser(); !ok {
		return hint.Wrap(errors.New("open browser: "+why), "open it yourself: "+url)
	}
	opened := make(chan error, 1)
	// The browser outlives the dashboard.
	d.beside(func() { opened <- desktop.Open(context.WithoutCancel(ctx), url) })
	waited := time.NewTimer(browserPatience)
	defer waited.Stop()
	select {
	case err := <-opened:
		return hint.Wrap(err, "open it yourself: "+url)
	case <-waited.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
