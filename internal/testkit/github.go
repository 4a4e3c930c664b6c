package testkit

import (
	"io"
	"net/http"
	"strings"
)

// GitHub is a small part of api.github.com, enough for its clients to start:
// GET /user, /repos/{owner}/{repo} and its issues, and the GraphQL viewer.
// Every request needs a token of Users; others get GitHub's own 401.
type GitHub struct {
	Users map[string]string // token -> login
}

// ServeHTTP implements http.Handler.
func (g *GitHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// As GitHub does. One that answers before it has read what is posted resets the
	// stream (RFC 9113, 8.1), which curl 7.88 takes for an error.
	_, _ = io.Copy(io.Discard, r.Body)
	req := Request{Header: r.Header}
	login := g.Users[req.Credential()]
	if login == "" {
		writeJSON(w, http.StatusUnauthorized, map[string]any{
			"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest", "status": "401",
		})
		return
	}
	w.Header().Set("X-Oauth-Scopes", "repo, read:org, gist, workflow")
	w.Header().Set("X-Github-Media-Type", "github.v3; format=json")
	part := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/user":
		writeJSON(w, http.StatusOK, map[string]any{"login": login, "id": 1, "type": "User", "name": login})
	case r.URL.Path == "/graphql":
		writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{"viewer": map[string]any{"login": login}}})
	case part[0] == "repos" && len(part) == 3:
		writeJSON(w, http.StatusOK, map[string]any{
			"name": part[2], "full_name": part[1] + "/" + part[2], "private": true, "default_branch": "main",
			"owner": map[string]any{"login": part[1]}, "permissions": map[string]bool{"pull": true, "push": true},
		})
	case part[0] == "repos" && len(part) == 4 && part[3] == "issues" && r.Method == http.MethodPost:
		writeJSON(w, http.StatusCreated, map[string]any{"number": 1, "user": map[string]any{"login": login}})
	default:
		writeJSON(w, http.StatusNotFound, map[string]any{"message": "Not Found", "status": "404"})
	}
}
