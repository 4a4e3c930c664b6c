package demo

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/storage/memory"
)

// The services of git's smart HTTP protocol (gitprotocol-http(5)).
const (
	uploadPack  = "git-upload-pack"  // what fetch and clone talk to
	receivePack = "git-receive-pack" // what push talks to
)

const mainBranch = plumbing.ReferenceName("refs/heads/main")

// packMax bounds what a push may send, in bytes: the demo's are under 1 KiB.
const packMax = 1 << 20

// repository is a bare repository in memory, served by git's protocol version
// 0 (gitprotocol-pack(5)). go-git has a server too; its package brings an
// OpenPGP implementation into the program, which kb has no use for, so that
// only go-git's formats are used here.
type repository struct {
	mu    sync.Mutex
	store *memory.Storage
}

// newRepository makes a repository with one commit on main.
func newRepository(name string) (*repository, error) {
	r := &repository{store: memory.NewStorage()}
	blob, err := r.put(plumbing.BlobObject, "# "+name+"\n")
	if err != nil {
		return nil, err
	}
	tree, err := r.put(plumbing.TreeObject, "100644 README.md\x00"+string(blob[:]))
	if err != nil {
		return nil, err
	}
	const author = "Forge <forge@forge.example> 1767225600 +0000" // 2026-01-01
	commit, err := r.put(plumbing.CommitObject, fmt.Sprintf("tree %s\nauthor %s\ncommitter %s\n\nStart\n", tree, author, author))
	if err != nil {
		return nil, err
	}
	if err := r.store.SetReference(plumbing.NewHashReference(mainBranch, commit)); err != nil {
		return nil, err
	}
	return r, r.store.SetReference(plumbing.NewSymbolicReference(plumbing.HEAD, mainBranch))
}

func (r *repository) put(kind plumbing.ObjectType, content string) (plumbing.Hash, error) {
	o := r.store.NewEncodedObject()
	o.SetType(kind)
	w, err := o.Writer()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if _, err := io.WriteString(w, content); err != nil {
		return plumbing.ZeroHash, err
	}
	return r.store.SetEncodedObject(o)
}

// head is the commit that main is at: its author, "NAME <EMAIL>", and the first
// line of its message.
func (r *repository) head() (author, subject string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ref, err := r.store.Reference(mainBranch)
	if err != nil {
		return "", "", err
	}
	o, err := r.store.EncodedObject(plumbing.CommitObject, ref.Hash())
	if err != nil {
		return "", "", err
	}
	in, err := o.Reader()
	if err != nil {
		return "", "", err
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return "", "", err
	}
	header, message, _ := strings.Cut(string(text), "\n\n")
	for line := range strings.Lines(header) {
		if who, ok := strings.CutPrefix(line, "author "); ok {
			author = who[:strings.LastIndexByte(who, '>')+1]
		}
	}
	subject, _, _ = strings.Cut(message, "\n")
	return author, subject, nil
}

// serveReferences answers the first request of a fetch or a push.
func (r *repository) serveReferences(w http.ResponseWriter, req *http.Request) {
	service := req.URL.Query().Get("service")
	if service != uploadPack && service != receivePack {
		http.Error(w, "dumb HTTP is not served", http.StatusForbidden)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var out bytes.Buffer
	if err := r.advertise(service, &out); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	respond(w, service+"-advertisement", out.Bytes())
}

func (r *repository) advertise(service string, w io.Writer) error {
	refs := packp.NewAdvRefs()
	refs.Prefix = [][]byte{[]byte("# service=" + service), pktline.Flush}
	offered := []capability.Capability{capability.OFSDelta}
	if service == receivePack {
		offered = append(offered, capability.ReportStatus, "no-thin")
	}
	for _, c := range offered {
		if err := refs.Capabilities.Set(c); err != nil {
			return err
		}
	}
	all, err := r.store.IterReferences()
	if err != nil {
		return err
	}
	err = all.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() == plumbing.SymbolicReference && service == receivePack {
			return nil
		}
		return refs.AddReference(ref)
	})
	if err != nil {
		return err
	}
	if service == uploadPack {
		main, err := r.store.Reference(mainBranch)
		if err != nil {
			return err
		}
		head := main.Hash()
		refs.Head = &head
	}
	return refs.Encode(w)
}

// serveUpload sends a pack of everything: more than a client that has some of
// it needs, which the protocol allows.
func (r *repository) serveUpload(w http.ResponseWriter, req *http.Request) {
	body, err := requestBody(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	want := packp.NewUploadRequest()
	if err := want.Decode(body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	done := false
	for lines := pktline.NewScanner(body); lines.Scan() && !done; {
		done = string(bytes.TrimSpace(lines.Bytes())) == "done"
	}
	var out bytes.Buffer
	if err := pktline.NewEncoder(&out).EncodeString("NAK\n"); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if done { // else the client goes on naming what it has
		r.mu.Lock()
		defer r.mu.Unlock()
		var hashes []plumbing.Hash
		for hash := range r.store.Objects {
			hashes = append(hashes, hash)
		}
		if _, err := packfile.NewEncoder(&out, r.store, false).Encode(hashes, 0); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	respond(w, uploadPack+"-result", out.Bytes())
}

// serveReceive takes a push.
func (r *repository) serveReceive(w http.ResponseWriter, req *http.Request) {
	body, err := requestBody(req)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	push := packp.NewReferenceUpdateRequest()
	if err := push.Decode(body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	report := packp.NewReportStatus()
	report.UnpackStatus = "ok"
	if err := packfile.UpdateObjectStorage(r.store, push.Packfile); err != nil {
		report.UnpackStatus = err.Error()
	}
	for _, c := range push.Commands {
		status := "ok"
		if err := r.update(c); err != nil {
			status = err.Error()
		}
		report.CommandStatuses = append(report.CommandStatuses, &packp.CommandStatus{ReferenceName: c.Name, Status: status})
	}
	var out bytes.Buffer
	if err := report.Encode(&out); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	respond(w, receivePack+"-result", out.Bytes())
}

// update moves one reference, if it stands where the client believes.
func (r *repository) update(c *packp.Command) error {
	if c.Name != mainBranch || c.Action() != packp.Update {
		return errors.New("only main can be updated")
	}
	if err := r.store.HasEncodedObject(c.New); err != nil {
		return err
	}
	return r.store.CheckAndSetReference(plumbing.NewHashReference(c.Name, c.New), plumbing.NewHashReference(c.Name, c.Old))
}

// requestBody is the body of a request; git compresses those over 1 KiB.
func requestBody(req *http.Request) (io.Reader, error) {
	body := io.LimitReader(req.Body, packMax)
	if req.Header.Get("Content-Encoding") == "gzip" {
		return gzip.NewReader(body)
	}
	return body, nil
}

func respond(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", "application/x-"+kind)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(body) // a client that is gone misses it
}
