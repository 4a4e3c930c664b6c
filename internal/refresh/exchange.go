package refresh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/state"
)

// askTimeout bounds one request for tokens, as the design has it.
const askTimeout = 10 * time.Second

// job is one refresh that was decided on. Who does it holds the login's lock.
type job struct {
	key     state.LoginKey
	grant   Grant
	refresh secret.Value // to send; empty for a minted token
	made    time.Time    // of the login
	what    string       // its tokens are for
	shared  string       // hash of the vault's refresh token; empty where it has none
	old     state.Token  // what there was
	had     bool         // whether there was any
	// memory: what was got last is in memory only, because the disk does not
	// take it. The stored refresh token is dead, so there is nothing to lose.
	memory bool
}

// performer does jobs: in the process of a session, or in a worker.
type performer struct {
	store  *state.Store
	ask    func(context.Context, Grant, secret.Value) (oauth.Tokens, error)
	now    func() time.Time
	random io.Reader
	step   func(string) // told of each step, in tests; else does nothing
}

// perform journals, asks, saves and clears. What came of it is in the token
// that it returns, and in the store. An error says that a token is new and could
// not be saved.
func (p *performer) perform(ctx context.Context, j job) (state.Token, error) {
	began := p.now()
	entry := state.JournalEntry{Old: state.TokenHash(j.refresh), Time: began}
	if left, ok, err := p.store.Journal(j.key); err == nil && ok && left.Old == entry.Old && entry.Old != "" {
		// Somebody sent this token before and never wrote down an answer.
		// Nothing better is known than to ask again.
		if entry.Unanswered = left.Unanswered; entry.Unanswered.IsZero() {
			entry.Unanswered = left.Time
		}
	}
	if err := p.store.PutJournal(ctx, j.key, entry); err != nil && !j.grant.minted() && !j.memory {
		// Asked now, an answer could not be kept either.
		return p.failed(ctx, j, failure{kind: passing, reason: "device state cannot be written, so nothing was asked: " + err.Error()})
	}
	p.step("journaled")
	tokens, reached, err := p.request(ctx, j)
	p.step("answered")
	if err == nil && tokens.Access.IsZero() {
		err = errors.New("the answer holds no token")
	}
	if err == nil {
		err = errors.Join(tokens.Access.Check(), tokens.Refresh.Check())
	}
	if err != nil {
		return p.refused(ctx, j, entry, judge(err, reached, &j.grant))
	}
	return p.keep(ctx, j, tokens, began)
}

// request asks, for at most askTimeout, and reports whether the server may
// have got the request.
func (p *performer) request(ctx context.Context, j job) (_ oauth.Tokens, reached bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	var wanted, connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	tokens, err := p.ask(ctx, j.grant, j.refresh)
	return tokens, connected.Load() || !wanted.Load(), err
}

// keep saves new tokens, unless a person has done something else meanwhile.
func (p *performer) keep(ctx context.Context, j job, got oauth.Tokens, began time.Time) (state.Token, error) {
	cur, ok, err := p.store.Token(j.key)
	switch {
	case err == nil && ok && cur.Made.After(j.made) && !j.grant.minted():
		_ = p.store.ClearJournal(j.key)
		return cur, nil // there is a newer login
	case err == nil && !ok && j.had && !j.memory:
		_ = p.store.ClearJournal(j.key)
		return p.loggedOut(j), nil
	}
	t := state.Token{
		Access: got.Access, Refresh: got.Refresh, Type: got.Type,
		// The life is counted from before the request: no longer than the server counts it.
		Obtained: began, Expires: got.Expires, Scopes: got.Scopes,
		Made: j.made, Account: j.old.Account, Taken: j.old.Taken, For: j.what, Shared: j.shared, Server: j.old.Server, Client: j.old.Client,
		State: StateOK, Since: j.old.Since, Past: state.Remember(j.old.Past, began, state.PastRefreshed),
	}
	if t.Refresh.IsZero() {
		t.Refresh = j.refresh
	}
	if t.Scopes == nil {
		t.Scopes = j.old.Scopes
	}
	if j.old.State != StateOK {
		t.Since = began
	}
	if t.Expires.Sub(t.Obtained) < time.Second {
		t.Expires = time.Time{} // a life that cannot be meant: the API decides
	}
	err = p.store.PutToken(ctx, j.key, t)
	if err != nil {
		// The entry has kept room for them. Who is killed between the two lines
		// is not told of a lost answer, and loses nothing more than without them.
		_ = p.store.ClearJournal(j.key)
		err = p.store.PutToken(ctx, j.key, t)
	}
	if err != nil {
		return t, err
	}
	p.step("saved")
	// An entry that stays names a refresh token that is no longer the present
	// one, or one that was answered: it says nothing.
	err = p.store.ClearJournal(j.key)
	p.step("cleared")
	if err != nil {
		t.Reason = "the journal could not be cleared: " + err.Error()
	}
	return t, nil
}

func (p *performer) loggedOut(j job) state.Token {
	return state.Token{Made: j.made, For: j.what, State: StateNeedsLogin, Since: p.now(), Reason: "logged out on this device"}
}

// How a request can fail.
type failKind int

const (
	passing failKind = iota // the network, the server or the disk: it is tried again soon
	denied                  // the server says no, but not to the refresh token: it is tried again late
	ended                   // the refresh token is of no use any more
)

type failure struct {
	kind     failKind
	reason   string
	after    time.Duration // Retry-After
	answered bool          // the server has not made new tokens, for sure
}

// passingCodes are error codes that are about the moment. Those of RFC 6749
// section 4.1.2.1 are for authorization, but token endpoints use them as well.
var passingCodes = map[string]bool{"temporarily_unavailable": true, "server_error": true, oauth.CodeSlowDown: true}

func judge(err error, reached bool, g *Grant) failure {
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok || e.Status == 0 {
		return failure{kind: passing, reason: reasonOf(err), answered: !reached}
	}
	f := failure{kind: passing, reason: reasonOf(err), after: e.RetryAfter}
	switch {
	case e.Status >= 500 || passingCodes[e.Code]:
	case e.Status == 429:
		f.answered = true
	case e.Code == "":
		// A page in place of an answer, or a redirect: something stands between.
	case e.Code == oauth.CodeInvalidGrant && !g.minted() && !g.Unproven:
		f.kind, f.answered = ended, true
	default:
		f.kind, f.answered = denied, true
	}
	return f
}

// refused writes down that there are no new tokens.
func (p *performer) refused(ctx context.Context, j job, entry state.JournalEntry, f failure) (state.Token, error) {
	if f.kind == ended {
		// Somebody may have saved others without the lock, or before it was ours.
		cur, ok, err := p.store.Token(j.key)
		switch {
		case err == nil && ok && !cur.Refresh.Equal(j.refresh) && replaced(&cur, &j):
			_ = p.store.ClearJournal(j.key)
			return cur, nil
		case err == nil && !ok && j.had && !j.memory:
			_ = p.store.ClearJournal(j.key)
			return p.loggedOut(j), nil
		}
		if !entry.Unanswered.IsZero() {
			f.reason = fmt.Sprintf("the answer to a refresh at %s was lost, and with it the refresh token that followed: %s",
				entry.Unanswered.UTC().Format(time.RFC3339), f.reason)
		}
	}
	t, err := p.failed(ctx, j, f)
	p.step("saved")
	if f.answered {
		_ = p.store.ClearJournal(j.key)
	}
	p.step("cleared")
	return t, err
}

// replaced reports whether the store holds other tokens than when the job
// began.
func replaced(cur *state.Token, j *job) bool {
	if j.memory {
		return cur.Obtained.After(j.old.Obtained) // it held older ones
	}
	return !cur.Access.IsZero() && !cur.Access.Equal(j.old.Access)
}

// failed is the old token with the failure in it, in the store if that takes
// it: what is not kept is learned again. It is an error only where the old token
// is not in the store either.
func (p *performer) failed(ctx context.Context, j job, f failure) (state.Token, error) {
	now := p.now()
	t := j.old
	t.Failures++
	t.Reason = f.reason
	t.Past = state.Remember(t.Past, now, f.reason)
	switch f.kind {
	case ended:
		// The refused token stays on record, as that of this login.
		t.Refresh, t.Made, t.For, t.Shared, t.Retry = j.refresh, j.made, j.what, j.shared, time.Time{}
	case denied:
		t.Retry = now.Add(doubled(refusedFirst, t.Failures, refusedLast))
	case passing:
		t.Retry = now.Add(max(backoff(t.Failures, p.random), min(f.after, retryAfterMost)))
	}
	if t.Made.IsZero() {
		t.Made, t.For = j.made, j.what
	}
	st := StateOffline
	if f.kind != passing {
		st = StateNeedsLogin
	}
	if t.State != st {
		t.State, t.Since = st, now
	}
	if err := p.store.PutToken(ctx, j.key, t); err != nil && j.memory {
		return t, err
	}
	return t, nil
}

// reasonOf is an error in the words of status and dashboard.
func reasonOf(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("the provider did not answer within %v", askTimeout)
	}
	return err.Error()
}
