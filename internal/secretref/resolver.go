package secretref

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"kb/internal/secret"
)

// Options are what a Resolver works with.
type Options struct {
	Getenv  func(string) string // kb's own environment; nil means os.Getenv
	Environ []string            // the same, for programs that kb starts; nil means os.Environ()
	Home    string              // the user's home; empty means HOME
	Dir     string              // the directory at hand, of whose repository no program is run; empty means the working directory
	// Client makes the client for references into services. It must follow no
	// redirect and use no proxy of the environment. Nil: they are refused.
	Client  func() (*http.Client, error)
	Now     func() time.Time // nil means time.Now
	Timeout time.Duration    // for a program to end in; 0 means 60 s
	Closed  []string         // folders of which no reference reads a file: kb's own
	Anchors Anchors          // nil: nothing is remembered
	// GoogleToken makes an access token from a service account's file (RFC
	// 7523). Nil: gcloud is asked in its place.
	GoogleToken func(ctx context.Context, file secret.Value) (token secret.Value, expires time.Time, err error)
}

// Anchors keeps, on this device, what references depend on besides their own
// text: where a program is, which server a token is for. What is there when it
// is first used counts until a person says otherwise.
type Anchors interface {
	Anchor(name string) (value string, ok bool, err error)
	SetAnchor(ctx context.Context, name, value string) error
}

// Allow is asked before a reference is used, with what it reads or runs on this
// device; the zero Source for nothing there. Its error ends the resolution. A
// nil Allow allows all.
type Allow func(Source) error

// Resolver resolves references. It may be used by several goroutines.
type Resolver struct {
	o Options

	mu    sync.Mutex
	kept  map[string]*entry // by reference
	cloud map[string]*lease // short-lived credentials for services
}

// entry is what came of resolving a reference, or will.
type entry struct {
	done   chan struct{} // closed when the rest is there
	value  secret.Value
	err    error
	until  time.Time
	source Source
}

// lease is a credential for a service, with its end.
type lease struct {
	aws   awsKeys
	token secret.Value
	until time.Time
}

// New returns a Resolver.
func New(o Options) *Resolver {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Environ == nil {
		o.Environ = os.Environ()
	}
	if o.Home == "" {
		o.Home = o.Getenv("HOME")
	}
	if o.Dir == "" {
		o.Dir, _ = os.Getwd()
	}
	if o.Timeout == 0 {
		o.Timeout = runTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Resolver{o: o, kept: map[string]*entry{}, cloud: map[string]*lease{}}
}

// Resolve fetches a reference's value, or takes it from memory if that is
// younger than Keep. Those who want the same one wait for the same answer; it
// is fetched to its end even if ctx ends before. Errors name the reference,
// never what it holds.
func (r *Resolver) Resolve(ctx context.Context, ref string, allow Allow) (secret.Value, error) {
	p, source, err := r.prepare(ctx, ref, allow)
	if err != nil {
		return secret.Value{}, err
	}
	if !p.scheme.slow {
		return r.fetch(ctx, p, source)
	}
	e := r.entry(ctx, p, source)
	select {
	case <-e.done:
		return e.value, e.err
	case <-ctx.Done():
		return secret.Value{}, failed(ref, ctx.Err())
	}
}

// Cached is Resolve without waiting: for a reference that is slow and not in
// memory it returns ErrNotYet.
func (r *Resolver) Cached(ref string, allow Allow) (secret.Value, error) {
	p, source, err := r.prepare(context.Background(), ref, allow)
	if err != nil {
		return secret.Value{}, err
	}
	if !p.scheme.slow {
		return r.fetch(context.Background(), p, source)
	}
	r.mu.Lock()
	e := r.kept[ref]
	r.mu.Unlock()
	if e == nil || !r.fresh(e, source) {
		return secret.Value{}, failed(ref, ErrNotYet)
	}
	return e.value, e.err
}

// Forget drops a value from memory, so that the next Resolve fetches it: a
// service refused it.
func (r *Resolver) Forget(ref string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.kept[ref]; e != nil && e.finished() {
		delete(r.kept, ref)
	}
}

// Source says what a reference reads or runs on this device, as it is now.
func (r *Resolver) Source(ctx context.Context, ref string) (Source, error) {
	p, err := parse(ref)
	if err != nil {
		return Source{}, err
	}
	return r.source(ctx, p)
}

func (r *Resolver) source(ctx context.Context, p *reference) (Source, error) {
	if p.scheme.source == nil {
		return Source{}, nil
	}
	s, err := p.scheme.source(ctx, r, p)
	if err != nil {
		return Source{}, failed(p.text, err)
	}
	return s, nil
}

func (r *Resolver) prepare(ctx context.Context, ref string, allow Allow) (*reference, Source, error) {
	p, err := parse(ref)
	if err != nil {
		return nil, Source{}, err
	}
	source, err := r.source(ctx, p)
	if err != nil {
		return nil, Source{}, err
	}
	if allow != nil {
		if err := allow(source); err != nil {
			return nil, Source{}, err
		}
	}
	return p, source, nil
}

// entry is the one in memory, or a new one that is being filled.
func (r *Resolver) entry(ctx context.Context, p *reference, source Source) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.kept[p.text]; e != nil && (!e.finished() && e.source == source || r.fresh(e, source)) {
		return e
	}
	e := &entry{done: make(chan struct{}), source: source}
	r.kept[p.text] = e
	go func() {
		defer close(e.done)
		// Who waits may give up; what was asked for is kept for the next.
		e.value, e.err = r.fetch(context.WithoutCancel(ctx), p, source)
		keep := Keep
		if e.err != nil {
			keep = keepFailure
		}
		e.until = r.o.Now().Add(keep)
	}()
	return e
}

func (e *entry) finished() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// fresh reports whether an entry can be used as it is.
func (r *Resolver) fresh(e *entry, source Source) bool {
	return e.finished() && e.source == source && r.o.Now().Before(e.until)
}

// errChanged: between a person's agreement and its use a program or file gave its
// place to another.
var errChanged = errors.New("it is another file or program than a moment ago")

// fetch gets the value; its errors are complete.
func (r *Resolver) fetch(ctx context.Context, p *reference, source Source) (secret.Value, error) {
	// Whoever fetches by a program gives it a path: who was asked about the
	// source may have taken their time.
	if p.scheme.slow && p.scheme.source != nil {
		if now, err := r.source(ctx, p); err != nil {
			return secret.Value{}, err
		} else if now != source {
			return secret.Value{}, failed(p.text, errChanged)
		}
	}
	data, err := p.scheme.fetch(ctx, r, p, source)
	if err == nil && len(data) > maxValue {
		err = ErrTooLong
	}
	var value secret.Value
	if err == nil {
		if value = secret.New(strings.TrimRight(string(data), "\r\n")); value.IsZero() {
			err = ErrMissing
		}
	}
	if err != nil {
		return secret.Value{}, failed(p.text, err)
	}
	return value, nil
}

func fetchEnv(_ context.Context, r *Resolver, p *reference, _ Source) ([]byte, error) {
	return []byte(r.o.Getenv(p.name)), nil
}

// client is the client for services.
func (r *Resolver) client() (*http.Client, error) {
	if r.o.Client == nil {
		return nil, errors.New("no network here")
	}
	return r.o.Client()
}
