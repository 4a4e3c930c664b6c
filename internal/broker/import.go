package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"kb/internal/adopt"
	"kb/internal/atomicfile"
	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/providers"
	"kb/vaultfile"
)

// Errors of an import.
var (
	// ErrNothingToImport says that the program has no login there.
	ErrNothingToImport = adopt.ErrNone
	// ErrImported says that the program's file holds kb's placeholder.
	ErrImported = errors.New("it was taken over already: its file holds kb's placeholder")
	// ErrNotAgreed says that nobody agreed that the program is logged out.
	ErrNotAgreed = errors.New("its login can have one owner only, and nobody agreed that it moves")
	// ErrLoginExists says that the profile has such a login.
	ErrLoginExists = errors.New("there is a login already")
	// ErrFileChanged says that the program wrote its file while kb read it.
	ErrFileChanged = errors.New("the program changed its file meanwhile: end it, and import again")
)

// Importable is a login of another program.
type Importable struct {
	Source   string // as kb import names it
	Title    string
	Path     string // its file; "" where it is in the keyring
	Provider string
	Method   string
	Account  string // as the program has it; may be empty
	Moves    bool   // a placeholder takes its place in the file

	found *adopt.Found
}

// ImportSpec is an import.
type ImportSpec struct {
	Profile string // its full name
	As      string
	Found   *Importable
	Agreed  bool // that a login which moves leaves its program logged out
	Replace bool
}

// ImportResult is what came of it.
type ImportResult struct {
	Account string
	Backup  string // the program's file as it was, encrypted to this device
	Note    string
}

// ImportSources names the programs whose logins can be taken over.
func ImportSources() []string {
	var names []string
	for _, s := range adopt.Sources() {
		names = append(names, s.Name)
	}
	return names
}

// ImportSource is the program that a method's logins come from.
func ImportSource(m *providers.Method) string {
	for _, s := range adopt.Sources() {
		if s.Method == m.Name {
			return s.Name
		}
	}
	return ""
}

// FindImport looks for a program's login.
func (b *Broker) FindImport(source string) (*Importable, error) {
	all := adopt.Sources()
	i := slices.IndexFunc(all, func(s adopt.Source) bool { return s.Name == source })
	if i < 0 {
		return nil, fmt.Errorf("import %q: no program of that name is known", source)
	}
	f, err := all[i].Find(adopt.Places{Home: b.paths.Home, Getenv: b.getenv, Keyring: func(service, user string) (secret.Value, error) {
		ctx, cancel := context.WithTimeout(context.Background(), referenceWait)
		defer cancel()
		return b.refs().Resolve(ctx, "keyring:"+service+"/"+user, nil)
	}})
	if err != nil {
		return nil, err
	}
	if b.holdsPlaceholder(f) {
		return nil, fmt.Errorf("import %s: %w", source, ErrImported)
	}
	return &Importable{
		Source: source, Title: all[i].Title, Path: f.Path, Provider: f.Provider, Method: f.Method, Account: f.Account,
		Moves: f.Moves(), found: f,
	}, nil
}

// holdsPlaceholder reports whether a program's refresh token is what kb put
// there.
func (b *Broker) holdsPlaceholder(f *adopt.Found) bool {
	agents, err := b.store.Agents()
	return err == nil && slices.ContainsFunc(agents, func(a state.Agent) bool { return secret.New(a.Refresh).Equal(f.Refresh) })
}

// Import takes a program's login over. One that moves is kept in kb first, and
// then replaced in the program's file.
func (b *Broker) Import(ctx context.Context, spec ImportSpec) (ImportResult, error) {
	f := spec.Found.found
	fail := func(err error) (ImportResult, error) {
		return ImportResult{}, fmt.Errorf("import %s: %w", f.Source.Name, err)
	}
	if b.ci {
		return fail(vaultfile.ErrReadOnly)
	}
	home, name, err := b.home(spec.Profile)
	if err != nil {
		return ImportResult{}, err
	}
	login := vaultfile.Login{Profile: name, Provider: f.Provider, As: spec.As, Method: f.Method, Base: f.Base, Account: f.Account}
	if _, err := b.loginOf(spec.Profile, f.Provider, spec.As); err == nil && !spec.Replace {
		return fail(ErrLoginExists)
	}
	written := b.writtenByOthers(spec.Profile, f.Provider)
	definition, err := b.Definition(spec.Profile, f.Provider, f.Base)
	if err != nil {
		return ImportResult{}, err
	}
	method, ok := definition.Login.Method(f.Method)
	if !ok {
		return fail(ErrNoFlow)
	}
	if method.Flow == providers.FlowPaste {
		login.Profile = spec.Profile
		login.Secrets = map[string]secret.Value{method.Fields[0].Name: f.Access}
		result, err := b.Login(ctx, LoginSpec{Login: login, Verify: true})
		return ImportResult{Account: result.Account, Note: result.Note}, err
	}
	if !f.Moves() {
		return fail(fmt.Errorf("%w: it has no refresh token", ErrNothingToImport))
	}
	if !spec.Agreed {
		return fail(ErrNotAgreed)
	}
	g := &granting{
		b: b, o: OAuthLogin{Sync: SyncNo, Verify: f.Expires.IsZero() || b.now().Before(f.Expires)},
		home: home, full: spec.Profile, login: login, what: grantedFor(login, written), definition: definition, method: method, server: serverOf(method.Server), scopes: f.Scopes, taken: true,
		from: state.TokenHash(f.Refresh),
	}
	if f.ClientID != "" {
		g.record = &vaultfile.Client{Name: clientName(f.Provider, f.Base), ClientID: f.ClientID}
		g.login.Client = g.record.Name
	}
	return b.move(ctx, g, f, b.cutShort(loginKey{spec.Profile, f.Provider, spec.As}, f))
}

// cutShort reports whether kb took this very login over before, and was ended
// before the program's file was written. What kb holds of it is newer than the
// file: those tokens may have been refreshed since.
func (b *Broker) cutShort(key loginKey, f *adopt.Found) bool {
	l, err := b.loginOf(key.profile, key.provider, key.as)
	if err != nil || f.Refresh.IsZero() {
		return false
	}
	token, ok, err := b.store.Token(b.tokenKey(key))
	return err == nil && ok && token.Taken == state.TokenHash(f.Refresh) && token.State != StateNeedsLogin &&
		!token.Refresh.IsZero() && refresh.Owns(&token, l.Created, l.Account)
}

// move keeps a program's tokens and puts placeholders where they were. What
// fails on the way leaves the program's file as it was, and in kb what was there.
// Of an import that was cut short only the rest is done.
func (b *Broker) move(ctx context.Context, g *granting, f *adopt.Found, cut bool) (result ImportResult, err error) {
	fail := func(err error) (ImportResult, error) {
		return ImportResult{}, fmt.Errorf("import %s: %w", f.Source.Name, err)
	}
	// Another import that ends within this one would leave kb without the
	// placeholders that stand in the file then.
	unlock, err := b.store.Lock(ctx, "import")
	if err != nil {
		return fail(err)
	}
	defer func() { _ = unlock() }()
	if !f.Unchanged() {
		return fail(ErrFileChanged)
	}
	agent := state.Agent{Source: f.Source.Name, Path: f.Path}
	for to, template := range map[*string]string{&agent.Access: f.Source.Shapes.Access, &agent.Refresh: f.Source.Shapes.Refresh} {
		if *to, err = providers.Placeholder(template, b.random); err != nil {
			return fail(err)
		}
	}
	replaced, err := f.Replaced(adopt.Placeholders{Access: agent.Access, Refresh: agent.Refresh})
	if err != nil {
		return fail(err)
	}
	if agent.Backup, err = b.backUp(f); err != nil {
		return fail(err)
	}
	key := b.tokenKey(loginKey{g.full, g.login.Provider, g.login.As})
	before, had, err := b.store.Agent(key)
	if err != nil {
		return fail(err)
	}
	if err := b.store.PutAgent(ctx, key, agent); err != nil {
		return fail(err)
	}
	g.finish = func() error { return writeOver(ctx, f, replaced) }
	var kept LoginResult
	if cut {
		err = g.finish()
	} else {
		kept, err = g.keep(ctx, oauth.Tokens{Access: f.Access, Refresh: f.Refresh, Type: "Bearer", Expires: f.Expires, Scopes: f.Scopes})
	}
	switch {
	case err == nil:
		return ImportResult{Account: kept.Account, Backup: agent.Backup, Note: kept.Note}, nil
	case had:
		return fail(errors.Join(err, b.store.PutAgent(ctx, key, before)))
	}
	return fail(errors.Join(err, b.store.DeleteAgent(key)))
}

// writeOver replaces a program's file, if it is still what was read. That is asked
// last, when the new one is on the disk: the program may be refreshing just now,
// and what it writes is the only copy.
func writeOver(ctx context.Context, f *adopt.Found, replaced []byte) error {
	target, err := atomicfile.Target(f.Path)
	if err != nil {
		return err
	}
	return atomicfile.Write(target, replaced, atomicfile.Options{
		Durable: true, Disk: atomicfile.DiskOf(ctx), BeforeRename: func() error {
			if !f.Unchanged() {
				return ErrFileChanged
			}
			return nil
		},
	})
}

// backUp keeps a program's file as it was, encrypted to this device.
func (b *Broker) backUp(f *adopt.Found) (string, error) {
	sealed, err := b.identity.Seal(f.Raw())
	if err != nil {
		return "", err
	}
	dir := filepath.Join(b.paths.State, "backup")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("keep %q as it was: %w", f.Path, err)
	}
	path := filepath.Join(dir, f.Source.Name+"-"+b.now().UTC().Format("20060102T150405.000Z")+".age")
	return path, atomicfile.Write(path, sealed, atomicfile.Options{Durable: true})
}

// placeAgents makes what stands in programs' own files what the session takes
// for placeholders of their logins.
func (b *Broker) placeAgents(p *placeholders, s *snapshot) {
	for _, c := range s.logins {
		if c.method == nil || c.method.Flow != providers.FlowAgent {
			continue
		}
		a, ok, err := b.store.Agent(b.tokenKey(c.key))
		if err != nil || !ok {
			continue // its program's refreshes are refused as any other's
		}
		p.pairs[c.key] = tokenPair{a.Access, a.Refresh}
		p.byValue[a.Access], p.byRefresh[a.Refresh] = c.key, c.key
	}
}
