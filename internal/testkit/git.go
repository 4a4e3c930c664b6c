package testkit

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Git serves repositories over smart HTTP, as a git host does: real git behind
// `git http-backend`, Basic authentication on every request, and any
// repository that is asked for exists, with two commits on main. It also
// answers the LFS batch API.
//
// Git 2.39 with libcurl 7.88 (Debian 12) hangs in about one of five chunked
// pushes over HTTP/2, whatever serves them (curl/curl#11342 is one of several
// such faults): an origin that real git reaches without a proxy between wants
// OriginConfig.HTTP1.
type Git struct {
	// Users maps a token, sent as the password, to the login it belongs to.
	// Nil lets any token in, as the login "anyone".
	Users map[string]string
	// Allow says whether a login may read or write a repository, "acme/api";
	// refused is 403. Nil means always.
	Allow func(login, repository string, write bool) bool
	// LFS keeps large files; nil means that there are none and the batch API
	// answers 404.
	LFS *LFS

	t    testing.TB
	root string
	mu   sync.Mutex
	log  []GitAccess
}

// GitAccess is one request for a repository, with the credential it carried.
type GitAccess struct {
	Repository string // "acme/api", without ".git"
	Path       string // as sent
	Write      bool   // belongs to a push
	User       string // of Basic; "" for a request without credentials
	Token      string // its password
	Login      string // whose token it is; "" when it was not let in
}

// NewGit makes a git server whose repositories live as long as the test. The
// test skips where git or its http-backend is missing.
func NewGit(t testing.TB) *Git {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Skip("git is not installed")
	}
	if _, err := os.Stat(filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")); err != nil {
		t.Skip("git http-backend is not installed")
	}
	g := &Git{t: t, root: t.TempDir()}
	config := "[http]\n\treceivepack = true\n[safe]\n\tdirectory = *\n[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n[receive]\n\tautogc = false\n"
	if err := os.WriteFile(filepath.Join(g.root, "gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// Accesses is what was asked of repositories so far, in order of arrival.
func (g *Git) Accesses() []GitAccess {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.log)
}

// Forget empties the log.
func (g *Git) Forget() {
	g.mu.Lock()
	g.log = nil
	g.mu.Unlock()
}

// Dir is the folder of a bare repository, "acme/api", made if it is not there.
func (g *Git) Dir(repository string) string {
	g.t.Helper()
	dir, err := g.repository(context.Background(), repository)
	if err != nil {
		g.t.Fatal(err)
	}
	return dir
}

// Rev is the commit that ref names in a repository; "" when there is none.
func (g *Git) Rev(repository, ref string) string {
	g.t.Helper()
	out, err := g.git(context.Background(), nil, "-C", g.Dir(repository), "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// Commit adds a commit that no clone has to branch main, and returns it.
func (g *Git) Commit(repository, message string) string {
	g.t.Helper()
	stream := fmt.Sprintf("commit refs/heads/main\ncommitter Origin <origin@acme.example> %d +0000\ndata %d\n%s\nfrom refs/heads/main^0\nM 644 inline %s\ndata 1\nx\n\ndone\n",
		time.Now().Unix(), len(message), message, "file-"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if _, err := g.git(context.Background(), strings.NewReader(stream), "-C", g.Dir(repository), "fast-import", "--quiet", "--done"); err != nil {
		g.t.Fatal(err)
	}
	return g.Rev(repository, "main")
}

// firstCommits is the history of a repository that has just been made, with
// fixed dates, so that its commits have the same names in every run.
const firstCommits = `commit refs/heads/main
mark :1
author Origin <origin@acme.example> 1700000000 +0000
committer Origin <origin@acme.example> 1700000000 +0000
data 6
first
M 644 inline README.md
data 8
# hello

commit refs/heads/main
author Origin <origin@acme.example> 1700000060 +0000
committer Origin <origin@acme.example> 1700000060 +0000
data 7
second
from :1
M 644 inline main.txt
data 5
main

done
`

func (g *Git) repository(ctx context.Context, name string) (string, error) {
	if name == "" || path.Clean("/"+name) != "/"+name || strings.Contains(name, ".git/") {
		return "", fmt.Errorf("open repository %q: bad name", name)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	dir := filepath.Join(g.root, "srv", filepath.FromSlash(name)+".git")
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if _, err := g.git(ctx, nil, "init", "--quiet", "--bare", dir); err != nil {
		return "", err
	}
	if _, err := g.git(ctx, strings.NewReader(firstCommits), "-C", dir, "fast-import", "--quiet", "--done"); err != nil {
		return "", err
	}
	return dir, nil
}

// env is all that the server's own git sees: nothing of the test's.
func (g *Git) env(extra ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + g.root, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + filepath.Join(g.root, "gitconfig"),
	}, extra...)
}

func (g *Git) git(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env, cmd.Stdin = g.env(), stdin
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run git %s: %w: %s", args, err, stderr.Bytes())
	}
	return out, nil
}

// endpoints end the name of a repository in a path of the smart protocol and
// of LFS.
var endpoints = []string{"/info/refs", "/git-upload-pack", "/git-receive-pack", "/info/lfs/", "/HEAD", "/objects/"}

// ServeHTTP implements http.Handler.
func (g *Git) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := -1
	for _, e := range endpoints {
		if i := strings.Index(r.URL.Path, e); i > 0 && (at < 0 || i < at) {
			at = i
		}
	}
	if at < 0 {
		http.NotFound(w, r)
		return
	}
	endpoint := r.URL.Path[at:]
	a := GitAccess{
		Repository: strings.TrimSuffix(strings.Trim(r.URL.Path[:at], "/"), ".git"), Path: r.URL.EscapedPath(),
		Write: endpoint == "/git-receive-pack" || r.URL.Query().Get("service") == "git-receive-pack",
	}
	a.User, a.Token, _ = r.BasicAuth()
	switch {
	case a.Token == "":
	case g.Users == nil:
		a.Login = "anyone"
	default:
		a.Login = g.Users[a.Token]
	}
	g.mu.Lock()
	g.log = append(g.log, a)
	g.mu.Unlock()
	if a.Login == "" {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "authentication required", http.StatusUnauthorized)
		return
	}
	if g.Allow != nil && !g.Allow(a.Login, a.Repository, a.Write) {
		http.Error(w, a.Login+" may not do that", http.StatusForbidden)
		return
	}
	if rest, ok := strings.CutPrefix(endpoint, "/info/lfs/"); ok {
		if g.LFS == nil || rest != "objects/batch" {
			http.NotFound(w, r)
			return
		}
		g.LFS.batch(w, r)
		return
	}
	if _, err := g.repository(r.Context(), a.Repository); err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	g.backend(w, r, "/"+a.Repository+".git"+endpoint, a.Login)
}

// backend runs git http-backend for r. It is a CGI host of its own because
// net/http/cgi refuses chunked uploads, which git sends for a push of more than
// 1 MiB (http.postBuffer).
func (g *Git) backend(w http.ResponseWriter, r *http.Request, pathInfo, login string) {
	cmd := exec.CommandContext(r.Context(), "git", "http-backend")
	cmd.Env = g.env(
		"GIT_PROJECT_ROOT="+filepath.Join(g.root, "srv"), "GIT_HTTP_EXPORT_ALL=1",
		"PATH_INFO="+pathInfo, "QUERY_STRING="+r.URL.RawQuery, "REQUEST_METHOD="+r.Method,
		"CONTENT_TYPE="+r.Header.Get("Content-Type"), "HTTP_CONTENT_ENCODING="+r.Header.Get("Content-Encoding"),
		"GIT_PROTOCOL="+r.Header.Get("Git-Protocol"), "REMOTE_USER="+login, "REMOTE_ADDR=203.0.113.1",
	)
	if r.ContentLength >= 0 {
		cmd.Env = append(cmd.Env, "CONTENT_LENGTH="+strconv.FormatInt(r.ContentLength, 10))
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer func() { _ = cmd.Wait() }()
	received := make(chan struct{})
	go func() {
		defer close(received)
		_, _ = io.Copy(stdin, r.Body)
		_ = stdin.Close()
	}()
	out := bufio.NewReaderSize(stdout, 64<<10)
	head, err := textproto.NewReader(out).ReadMIMEHeader()
	if err != nil {
		http.Error(w, "git http-backend: "+stderr.String(), http.StatusInternalServerError)
		return
	}
	// http-backend writes its header before it has read the request; an answer
	// that overtakes the upload makes an HTTP/1 server drop the rest of it.
	<-received
	status := http.StatusOK
	for name, values := range head {
		if name == "Status" {
			if n, err := strconv.Atoi(strings.Fields(values[0] + " ")[0]); err == nil {
				status = n
			}
			continue
		}
		w.Header()[name] = values
	}
	w.WriteHeader(status)
	_, _ = io.Copy(w, out)
}
