package refresh

import (
	"encoding/json"
	"fmt"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/state"
)

// What passes between a session and a worker: over a socket of the two, one
// JSON value a line. Secrets are bytes here, base64 in JSON: nothing else
// shows them, and this goes nowhere else.

// wireMost bounds a line: a token of 64 KiB, some keys and a definition fit
// many times over.
const wireMost = 4 << 20

// wireJob is a job, and the store that it is in.
type wireJob struct {
	Dir      string
	StoreKey []byte
	Key      state.LoginKey
	Grant    wireGrant
	Refresh  []byte
	Made     time.Time
	For      string
	Shared   string
	Old      []byte
	Had      bool
}

// wireGrant is a Grant. The secret of an embedded struct gives way to the field
// of the same name beside it.
type wireGrant struct {
	Kind   string
	Server oauth.Server
	Client struct {
		oauth.Client
		Secret []byte
	}
	Scopes    []string
	Unproven  bool
	Assertion struct {
		oauth.Assertion
		Key []byte
	}
	App struct {
		oauth.App
		Key []byte
	}
}

func encodeGrant(g Grant) (w wireGrant) {
	w.Kind, w.Server, w.Scopes, w.Unproven = g.Kind, g.Server, g.Scopes, g.Unproven
	w.Client.Client, w.Client.Secret = g.Client, []byte(g.Client.Secret.Reveal())
	w.Assertion.Assertion, w.Assertion.Key = g.Assertion, []byte(g.Assertion.Key.Reveal())
	w.App.App, w.App.Key = g.App, []byte(g.App.Key.Reveal())
	return w
}

func decodeGrant(w wireGrant) Grant {
	g := Grant{Kind: w.Kind, Server: w.Server, Client: w.Client.Client, Scopes: w.Scopes, Unproven: w.Unproven, Assertion: w.Assertion.Assertion, App: w.App.App}
	g.Client.Secret = secret.New(string(w.Client.Secret))
	g.Assertion.Key = secret.New(string(w.Assertion.Key))
	g.App.Key = secret.New(string(w.App.Key))
	return g
}

// wireAnswer is what came of it. Unsaved says why new tokens are not on the
// disk; the session then says that it has them, or the worker keeps them.
type wireAnswer struct {
	Token   []byte
	Unsaved string
}

const (
	wireReady = "ready" // the worker's first line: nobody can read its memory
	wireTaken = "taken" // the session has the tokens that could not be saved
)

func encodeJob(s *state.Store, j job) ([]byte, error) {
	dir, key := s.Handover()
	return json.Marshal(wireJob{
		Dir: dir, StoreKey: []byte(key.Reveal()), Key: j.key, Grant: encodeGrant(j.grant),
		Refresh: []byte(j.refresh.Reveal()), Made: j.made.Round(0), For: j.what, Shared: j.shared,
		Old: []byte(state.EncodeToken(j.old).Reveal()), Had: j.had,
	})
}

func decodeJob(line []byte) (*state.Store, job, error) {
	var w wireJob
	if err := json.Unmarshal(line, &w); err != nil || len(w.StoreKey) != 32 {
		return nil, job{}, fmt.Errorf("read what to refresh: not from kb") // the error may quote a secret
	}
	old, err := state.DecodeToken(secret.New(string(w.Old)))
	if err != nil {
		return nil, job{}, err
	}
	s, err := state.Open(w.Dir, [32]byte(w.StoreKey))
	if err != nil {
		return nil, job{}, err
	}
	return s, job{
		key: w.Key, grant: decodeGrant(w.Grant),
		refresh: secret.New(string(w.Refresh)), made: w.Made, what: w.For, shared: w.Shared, old: old, had: w.Had,
	}, nil
}
