package broker

import (
	"context"
	"sync"
	"time"

	"kb/internal/oauth"
	"kb/providers"
	"kb/vaultfile"
)

// What an agent says of the client that it is may be wrong, or meant to be: each
// try is a request with the login's own refresh token.
const (
	// freeTries are the clients in a row that are tried as they come: a program
	// may be started while there is no network, and another one before it.
	freeTries = 3
	// After them one is tried after 1, 2, 4, 8, 10 minutes.
	tryFirst = time.Minute
	tryLast  = 10 * time.Minute
)

// learning is what agents' own requests have said of their clients.
type learning struct {
	mu     sync.Mutex
	logins map[loginKey]*learned
}

// learned is the client of one login.
type learned struct {
	trying sync.Mutex

	// Of these, learning.mu is held.
	client oauth.Client // empty: none is known
	proven bool         // the server gave tokens for it
	failed int          // tries in a row
	until  time.Time    // before which no other is tried
}

func (l *learning) of(key loginKey) *learned {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.logins == nil {
		l.logins = map[loginKey]*learned{}
	}
	if l.logins[key] == nil {
		l.logins[key] = &learned{}
	}
	return l.logins[key]
}

// client is the client that is known, or tried just now.
func (l *learning) client(key loginKey) (client oauth.Client, proven, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.logins[key]
	if one == nil || one.client.ID == "" {
		return oauth.Client{}, false, false
	}
	return one.client, one.proven, true
}

// begin takes a client to be tried, if it is time for one. A wait that is
// longer than any that is given is the clock's fault, and over.
func (l *learning) begin(one *learned, client oauth.Client, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait := one.until.Sub(now); wait > 0 && wait <= tryLast {
		return false
	}
	one.client, one.proven = client, false
	return true
}

func (l *learning) end(one *learned, good bool, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.proven = good; good {
		one.failed = 0
		return
	}
	one.client = oauth.Client{}
	if one.failed++; one.failed < freeTries {
		return
	}
	wait := tryFirst
	for i := freeTries; i < one.failed && wait < tryLast; i++ {
		wait *= 2
	}
	one.until = now.Add(min(wait, tryLast))
}

// learnClient takes the client of an agent's own request where a login has
// none: kb ships no vendor's, and the agent's tokens belong to the agent's
// client. It is kept once it has got a token.
func (b *Broker) learnClient(ctx context.Context, c *credentials, client oauth.Client) {
	if client.ID == "" {
		return
	}
	one := b.learned.of(c.key)
	one.trying.Lock()
	defer one.trying.Unlock()
	if _, err := b.clientOf(c.login, c.method); err == nil || ctx.Err() != nil || !b.learned.begin(one, client, b.now()) {
		return
	}
	_, err := b.tokens.Now(ctx, b.upkept(c.login))
	b.learned.end(one, err == nil, b.now())
	if err != nil {
		return
	}
	v, _ := b.split(c.key.profile)
	if b.ci || v == nil {
		return
	}
	record := vaultfile.Client{Name: clientName(c.login.Provider, c.login.Base), ClientID: client.ID, ClientSecret: client.Secret}
	if err := b.edit(ctx, v, func(tx *vaultfile.Tx) error { return tx.PutClient(record) }); err != nil {
		b.say(v, "the client of %s could not be kept: %v", c.login.Provider, err)
	}
}

// unproven reports whether a login would be refreshed with a client that an
// agent has named and that has got no token yet.
func (b *Broker) unproven(l vaultfile.Login, m *providers.Method) bool {
	client, proven, ok := b.learned.client(keyOf(l))
	if !ok || proven {
		return false
	}
	used, err := b.clientOf(l, m)
	return err == nil && used.ID == client.ID
}
