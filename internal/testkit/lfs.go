package testkit

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
)

// LFS answers the batch API of Git LFS and keeps the objects in memory. Their
// transfers go to another host, as they do at real git hosts, with a
// credential of their own in the action's header: see
// https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md.
type LFS struct {
	Media string // base URL of the transfers: "https://media.example"

	mu      sync.Mutex
	objects map[string][]byte
}

// LFSToken is the credential that the batch API hands out for transfers. It is
// no login's, and a transfer must arrive with it and nothing else.
const LFSToken = "RemoteAuth lfs-transfer" //nolint:gosec // a constant of the test world

type lfsObject struct {
	OID     string               `json:"oid"`
	Size    int64                `json:"size"`
	Actions map[string]lfsAction `json:"actions,omitempty"`
	Error   *lfsError            `json:"error,omitempty"`
}

type lfsAction struct {
	Href   string            `json:"href"`
	Header map[string]string `json:"header"`
}

type lfsError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (l *LFS) batch(w http.ResponseWriter, r *http.Request) {
	var req struct {
		Operation string      `json:"operation"`
		Objects   []lfsObject `json:"objects"`
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range req.Objects {
		o := &req.Objects[i]
		_, here := l.objects[o.OID]
		action := lfsAction{Href: l.Media + "/" + o.OID, Header: map[string]string{"Authorization": LFSToken}}
		switch {
		case req.Operation == "download" && !here:
			o.Error = &lfsError{Code: http.StatusNotFound, Message: "no such object"}
		case req.Operation == "download", !here:
			o.Actions = map[string]lfsAction{req.Operation: action}
		}
	}
	w.Header().Set("Content-Type", "application/vnd.git-lfs+json")
	_ = json.NewEncoder(w).Encode(map[string]any{"transfer": "basic", "objects": req.Objects})
}

// ServeHTTP is the media host: PUT stores an object, GET returns it. Whoever
// comes with another credential than LFSToken gets 403.
func (l *LFS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != LFSToken {
		http.Error(w, "this is not the credential of the action", http.StatusForbidden)
		return
	}
	oid := strings.TrimPrefix(r.URL.Path, "/")
	switch r.Method {
	case http.MethodPut:
		b, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		l.mu.Lock()
		if l.objects == nil {
			l.objects = map[string][]byte{}
		}
		l.objects[oid] = b
		l.mu.Unlock()
	case http.MethodGet:
		l.mu.Lock()
		b, ok := l.objects[oid]
		l.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	default:
		http.Error(w, "PUT or GET", http.StatusMethodNotAllowed)
	}
}
