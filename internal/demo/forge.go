package demo

import (
	"crypto/rand"
	_ "embed"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// The names of the forge. RFC 2606 keeps .example free for texts such as this.
const (
	provider = "forge"
	apiHost  = "api.forge.example"
	gitHost  = "git.forge.example"
	variable = "FORGE_TOKEN" // as forge.toml has it
)

//go:embed forge.toml
var definition string

// account is somebody at the forge. The token is made up in each run and opens
// nothing else.
type account struct {
	login string
	token string
	owner string // whose repositories it may read and write
}

func newAccount(login, profile, owner string) account {
	return account{login: login, owner: owner, token: "forge_" + profile + "_" + strings.ToLower(rand.Text()[:12])}
}

// arrival is one request as the forge received it.
type arrival struct {
	host, method, path string
	scheme             string // Bearer or Basic; empty when there was no credential
	token              string
	login              string // whose token it is; empty when nobody's
}

// forge is a code host: an API and git over https.
type forge struct {
	accounts     []account
	repositories map[string]*repository // "owner/name"

	mu  sync.Mutex
	log []arrival
}

// newForge makes a forge with one repository for each account.
func newForge(accounts []account, names []string) (*forge, error) {
	f := &forge{accounts: accounts, repositories: map[string]*repository{}}
	for _, name := range names {
		r, err := newRepository(name)
		if err != nil {
			return nil, err
		}
		f.repositories[name] = r
	}
	return f, nil
}

// arrivals is what came so far, in order.
func (f *forge) arrivals() []arrival {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.log)
}

// forget empties the log.
func (f *forge) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = nil
}

// admit writes the request down and says whose it is. A request without a
// token that the forge knows is answered here, with challenge.
func (f *forge) admit(w http.ResponseWriter, r *http.Request, challenge string) (account, bool) {
	a := arrival{host: r.Host, method: r.Method, path: r.URL.Path}
	if _, password, ok := r.BasicAuth(); ok {
		a.scheme, a.token = "Basic", password
	} else if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		a.scheme, a.token = "Bearer", token
	}
	var who account
	for _, known := range f.accounts {
		if a.token == known.token && a.scheme == challenge {
			who, a.login = known, known.login
		}
	}
	f.mu.Lock()
	f.log = append(f.log, a)
	f.mu.Unlock()
	if a.login == "" {
		w.Header().Set("WWW-Authenticate", challenge+` realm="forge"`)
		answer(w, http.StatusUnauthorized, map[string]any{"message": "who are you?"})
		return who, false
	}
	return who, true
}

// api is the forge's API: GET /user and GET /repos/OWNER/NAME.
func (f *forge) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+userPath, func(w http.ResponseWriter, r *http.Request) {
		if who, ok := f.admit(w, r, "Bearer"); ok {
			answer(w, http.StatusOK, map[string]any{"login": who.login})
		}
	})
	mux.HandleFunc("GET /repos/{owner}/{name}", func(w http.ResponseWriter, r *http.Request) {
		who, ok := f.admit(w, r, "Bearer")
		if !ok {
			return
		}
		name := r.PathValue("owner") + "/" + r.PathValue("name")
		if _, ok := f.repositories[name]; !ok || r.PathValue("owner") != who.owner {
			answer(w, http.StatusNotFound, map[string]any{"message": "no such repository"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"full_name": name, "private": true})
	})
	return mux
}

// git serves the repositories over smart HTTP.
func (f *forge) git() http.Handler {
	mux := http.NewServeMux()
	with := func(serve func(*repository, http.ResponseWriter, *http.Request)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			who, ok := f.admit(w, r, "Basic")
			if !ok {
				return
			}
			name := r.PathValue("owner") + "/" + strings.TrimSuffix(r.PathValue("name"), ".git")
			repo, ok := f.repositories[name]
			if !ok || r.PathValue("owner") != who.owner {
				answer(w, http.StatusNotFound, map[string]any{"message": "no such repository"})
				return
			}
			serve(repo, w, r)
		}
	}
	mux.HandleFunc("GET /{owner}/{name}/info/refs", with((*repository).serveReferences))
	mux.HandleFunc("POST /{owner}/{name}/git-upload-pack", with((*repository).serveUpload))
	mux.HandleFunc("POST /{owner}/{name}/git-receive-pack", with((*repository).serveReceive))
	return mux
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone misses it
}
