package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"kb/internal/secret"
	"kb/internal/secretref"
	"kb/vaultfile"
)

// referenceWait bounds how long those wait for references who have no context
// of their own.
const referenceWait = 90 * time.Second

// UnagreedError says that a reference which another device wrote, and which
// reads a file or runs a program here, has nobody's agreement on this device.
type UnagreedError struct {
	Ref    string
	Vault  string
	Source secretref.Source // zero where the vault is shared: then any reference is asked about
	Fix    string           // the command
}

func (e *UnagreedError) Error() string {
	what := ""
	if s := e.Source.String(); s != "" {
		what = ", which " + s + " here"
	}
	return fmt.Sprintf("use %q: it came with vault %q%s, and nobody has agreed to that on this device (%s)", e.Ref, e.Vault, what, e.Fix)
}

// refs resolves references.
func (b *Broker) refs() *secretref.Resolver {
	b.resolveOnce.Do(func() {
		o := b.refOptions()
		if b.store != nil && !b.ci {
			o.Anchors = b.store
		}
		b.resolving = secretref.New(o)
	})
	return b.resolving
}

// refOptions are those of a resolver that remembers nothing.
func (b *Broker) refOptions() secretref.Options {
	return secretref.Options{
		Getenv: b.getenv, Now: b.now, Client: func() (*http.Client, error) { return b.client() },
		Closed: []string{b.paths.State, b.paths.Config},
	}
}

// references resolves the references of a login, whose Profile is a full name,
// and waits for those that are slow.
func (b *Broker) references(l vaultfile.Login) func(field, ref string) (secret.Value, error) {
	return func(field, ref string) (secret.Value, error) {
		ctx, cancel := context.WithTimeout(context.Background(), referenceWait)
		defer cancel()
		return b.refs().Resolve(ctx, ref, b.agreed(l, field, ref))
	}
}

// referencesNow does without waiting: [secretref.ErrNotYet] says that a
// reference is slow and has to be fetched (see [Broker.fetchReferences]).
func (b *Broker) referencesNow(l vaultfile.Login) func(field, ref string) (secret.Value, error) {
	return func(field, ref string) (secret.Value, error) {
		return b.refs().Cached(ref, b.agreed(l, field, ref))
	}
}

// fetchReferences resolves the slow references of logins, all at once. What it
// gets is in memory afterwards, failures too.
func (b *Broker) fetchReferences(ctx context.Context, logins []vaultfile.Login) {
	ctx, cancel := context.WithTimeout(ctx, referenceWait)
	defer cancel()
	var all sync.WaitGroup
	for _, l := range logins {
		for field, ref := range l.Refs {
			if secretref.Slow(ref) {
				all.Go(func() { _, _ = b.refs().Resolve(ctx, ref, b.agreed(l, field, ref)) })
			}
		}
	}
	all.Wait()
}

// forgetReferences has the references of a login fetched anew when they are
// next resolved: their value was refused. It reports whether there are any.
func (b *Broker) forgetReferences(l vaultfile.Login) bool {
	for _, ref := range l.Refs {
		b.refs().Forget(ref)
	}
	return len(l.Refs) > 0
}

// agreed decides whether a login's reference may be used here. In the default
// vault, which is one person's, a reference that reads a file or runs a program
// needs the agreement of a person on this device, to that file or program. In
// any other each reference needs it: whoever writes a shared vault could else
// name any file or variable of this device, and a host to send it to.
func (b *Broker) agreed(l vaultfile.Login, field, ref string) secretref.Allow {
	return func(source secretref.Source) error {
		v, name := b.split(l.Profile)
		if v == nil || !b.asksFor(v, ref) {
			return nil
		}
		uses, err := b.store.References(v.name)
		if err != nil {
			return err
		}
		at := l
		at.Profile = name
		if slices.Contains(uses, b.referenceUse(v, at, field, ref, source)) {
			return nil
		}
		return &UnagreedError{ref, v.name, source, fmt.Sprintf("kb reference accept %s -p %s", l.Provider, b.Show(l.Profile))}
	}
}

// asksFor reports whether a reference of a vault needs a person's agreement. In
// a job nobody can be asked: a file of the job's machine is what its vault is for.
func (b *Broker) asksFor(v *vault, ref string) bool {
	if b.ci {
		return secretref.Asks(ref) && secretref.File(ref) == ""
	}
	return v != b.primary || secretref.Asks(ref)
}

// wantedHere reports whether a login's reference may be used here.
func (b *Broker) wantedHere(l vaultfile.Login, field, ref string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), referenceWait)
	defer cancel()
	source, err := b.refs().Source(ctx, ref)
	return err == nil && b.agreed(l, field, ref)(source) == nil
}

// agreedToAll reports whether each reference of a login may be used here, as far
// as agreement goes.
func (b *Broker) agreedToAll(l vaultfile.Login) bool {
	for field, ref := range l.Refs {
		source, err := b.refs().Source(context.Background(), ref)
		var unagreed *UnagreedError
		if err == nil && errors.As(b.agreed(l, field, ref)(source), &unagreed) {
			return false
		}
	}
	return true
}

// wantHere keeps that this device's user gave a login its references.
func (b *Broker) wantHere(ctx context.Context, v *vault, l vaultfile.Login) error {
	for _, field := range slices.Sorted(maps.Keys(l.Refs)) {
		ref := l.Refs[field]
		if !b.asksFor(v, ref) {
			continue
		}
		source, err := b.refs().Source(ctx, ref)
		if err != nil {
			continue // it resolves to nothing, and the login was told so
		}
		if err := b.store.AcceptReference(ctx, v.name, b.referenceUse(v, l, field, ref, source)); err != nil {
			return err
		}
	}
	return nil
}

// referenceUse is what a reference is for: the login, the field, and what says
// where it goes, with the vault's own definition of the provider if it has one,
// and what it reads or runs here. The Profile is as the vault has it.
func (b *Broker) referenceUse(v *vault, l vaultfile.Login, field, ref string, source secretref.Source) string {
	use := fmt.Sprintf("%s %q %q %q %q %s", vaultfile.LoginID(l.Profile, l.Provider, l.As), l.Method, l.Base, field, ref, b.ownDefinition(v, l.Provider))
	if s := source.String(); s != "" {
		use += fmt.Sprintf(" %q", s)
	}
	return use
}
