package vaultrepo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// fileMode is what git keeps of a vault's mode: a file that nobody executes.
const fileMode = "100644"

// writeBlob stores bytes as they are, without a filter.
func (r *Repo) writeBlob(ctx context.Context, raw []byte) (string, error) {
	hash, err := text(r.plumb(ctx, raw, "hash-object", "-w", "-t", "blob", "--stdin"))
	if err != nil {
		return "", fmt.Errorf("store a version of the vault: %w", err)
	}
	return hash, nil
}

// stage makes the index have the blob at path, merged.
func (r *Repo) stage(ctx context.Context, path, blob string) error {
	_, err := r.git(ctx, []byte(fileMode+" "+blob+"\t"+path+"\x00"), "update-index", "-z", "--index-info")
	if err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	return nil
}

// Settle stores raw as what the vault's unmerged stages were merged to.
// Everything else in the index stays.
func (r *Repo) Settle(ctx context.Context, raw []byte) error {
	blob, err := r.writeBlob(ctx, raw)
	if err != nil {
		return err
	}
	// Stages 1 to 3 go when an entry with mode 0 comes first (git-update-index(1)).
	_, err = r.git(ctx, []byte("0 "+strings.Repeat("0", len(blob))+"\t"+r.Path+"\x00"+fileMode+" "+blob+"\t"+r.Path+"\x00"),
		"update-index", "-z", "--index-info")
	if err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	return nil
}

// file is a path and its blob.
type file struct{ path, blob string }

// treeWith is the tree of a commit ("" for none) with some files replaced.
func (r *Repo) treeWith(ctx context.Context, commit string, files ...file) (string, error) {
	env, err := r.scratchIndex(ctx)
	if err != nil {
		return "", err
	}
	if commit == "" {
		_, err = r.plumbWith(ctx, env, nil, "read-tree", "--empty")
	} else {
		_, err = r.plumbWith(ctx, env, nil, "read-tree", commit)
	}
	if err != nil {
		return "", fmt.Errorf("read the tree of %s: %w", commit, err)
	}
	var info strings.Builder
	for _, f := range files {
		info.WriteString(fileMode + " " + f.blob + "\t" + f.path + "\x00")
	}
	if _, err := r.plumbWith(ctx, env, []byte(info.String()), "update-index", "-z", "--index-info"); err != nil {
		return "", fmt.Errorf("make a tree: %w", err)
	}
	tree, err := text(r.plumbWith(ctx, env, nil, "write-tree"))
	if err != nil {
		return "", fmt.Errorf("make a tree: %w", err)
	}
	return tree, nil
}

// scratchIndex is the environment for an index of the quarantine's own.
func (r *Repo) scratchIndex(ctx context.Context) ([]string, error) {
	if _, err := r.quarantined(ctx); err != nil {
		return nil, err
	}
	return []string{"GIT_INDEX_FILE=" + filepath.Join(r.quarantine, "index")}, nil
}

// commitTree makes a commit in the user's name.
func (r *Repo) commitTree(ctx context.Context, tree, message string, parents ...string) (string, error) {
	settings, err := r.config(ctx)
	if err != nil {
		return "", err
	}
	args := []string{"commit-tree", tree, "-m", message}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	var env []string
	for _, who := range []string{"author", "committer"} {
		name, email := get(settings, who+".name"), get(settings, who+".email")
		if name == "" {
			name = get(settings, "user.name")
		}
		if email == "" {
			email = get(settings, "user.email")
		}
		if name == "" || email == "" {
			return "", ErrNobody
		}
		prefix := "GIT_" + strings.ToUpper(who) + "_"
		env = append(env, prefix+"NAME="+name, prefix+"EMAIL="+email)
	}
	hash, err := text(r.plumbWith(ctx, env, nil, args...))
	if err != nil {
		return "", fmt.Errorf("commit the vault: %w", err)
	}
	return hash, nil
}

// ErrNobody: git does not know whose commits these are.
var ErrNobody = errors.New("commit the vault: git knows no name and address to commit under")

// moveHead has the branch that HEAD is at go from one commit to another; it
// fails when somebody else moved it meanwhile.
func (r *Repo) moveHead(ctx context.Context, to, from string) error {
	if from == "" {
		from = strings.Repeat("0", len(to))
	}
	if _, err := r.git(ctx, nil, "update-ref", "-m", "kb sync", "HEAD", to, from); err != nil {
		return fmt.Errorf("move the branch: %w", err)
	}
	return nil
}

// Commit commits the vault, and the attributes that SetUp wrote if nothing
// else was changed in their file. It reports whether there was anything to
// commit.
func (r *Repo) Commit(ctx context.Context, vault []byte) (bool, error) {
	head, err := r.Head(ctx)
	if err != nil {
		return false, err
	}
	blob, err := r.writeBlob(ctx, vault)
	if err != nil {
		return false, err
	}
	files := []file{{r.Path, blob}}
	attributes, err := r.ownAttributes(ctx, head)
	if err != nil {
		return false, err
	}
	if attributes != "" {
		files = append(files, file{".gitattributes", attributes})
	}
	var changed []file
	for _, f := range files {
		was := ""
		if head != "" {
			if was, err = r.entry(ctx, head, f.path); err != nil {
				return false, err
			}
		}
		if was != f.blob {
			changed = append(changed, f)
		}
	}
	if len(changed) == 0 {
		return false, r.stage(ctx, r.Path, blob)
	}
	tree, err := r.treeWith(ctx, head, changed...)
	if err != nil {
		return false, err
	}
	var parents []string
	if head != "" {
		parents = []string{head}
	}
	commit, err := r.commitTree(ctx, tree, commitMessage, parents...)
	if err != nil {
		return false, err
	}
	for _, f := range files {
		if err := r.stage(ctx, f.path, f.blob); err != nil {
			return false, err
		}
	}
	return true, r.moveHead(ctx, commit, head)
}

// commitMessage names nothing of what changed: whoever hosts the repository
// reads it, and the names are encrypted for a reason.
const commitMessage = "Update the kb vault"

// ownAttributes is the blob of .gitattributes if it differs from the commit's by
// the vault's line alone, else "".
func (r *Repo) ownAttributes(ctx context.Context, head string) (string, error) {
	fi, err := os.Lstat(r.AttributesFile())
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxAttributes {
		return "", nil //nolint:nilerr // then there is nothing of kb's to commit
	}
	now, err := os.ReadFile(r.AttributesFile())
	if err != nil {
		return "", fmt.Errorf("read attributes: %w", err)
	}
	var committed []byte
	if head != "" {
		was, err := r.entry(ctx, head, ".gitattributes")
		if err != nil {
			return "", err
		}
		if was != "" {
			if committed, err = r.Blob(ctx, was); err != nil {
				return "", err
			}
		}
	}
	if string(withLine(committed, r.Path, attributesLine(r.Path))) != string(now) {
		return "", nil
	}
	return r.writeBlob(ctx, now)
}
