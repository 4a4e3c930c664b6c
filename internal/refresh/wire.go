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
	Shared   string
	Old      []byte
	Had      bool
}

type wireGrant struct {
	Kind     string
	Server   oauth.Server
	ClientID string
	Secret   []byte
	Redirect string
	Scopes   []string
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
		Dir: dir, StoreKey: []byte(key.Reveal()), Key: j.key,
		Grant: wireGrant{
			Kind: j.grant.Kind, Server: j.grant.Server, Scopes: j.grant.Scopes,
			ClientID: j.grant.Client.ID, Secret: []byte(j.grant.Client.Secret.Reveal()), Redirect: j.grant.Client.Redirect,
		},
		Refresh: []byte(j.refresh.Reveal()), Made: j.made.Round(0), Shared: j.shared,
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
		key: w.Key,
		grant: Grant{
			Kind: w.Grant.Kind, Server: w.Grant.Server, Scopes: w.Grant.Scopes,
			Client: oauth.Client{ID: w.Grant.ClientID, Secret: secret.New(string(w.Grant.Secret)), Redirect: w.Grant.Redirect},
		},
		refresh: secret.New(string(w.Refresh)), made: w.Made, shared: w.Shared, old: old, had: w.Had,
	}, nil
}
