package profile

// Workspace is what a directory is: the repository around it, if any, and the
// remotes by which rules know it.
type Workspace struct {
	Dir       string   // real path of the directory asked about
	Root      string   // real path of the enclosing worktree (or bare repository); empty outside git
	CommonDir string   // real path of the repository's common directory; the key of a pin
	MainRoot  string   // for a linked worktree: the main worktree's root; else equal to Root
	Remotes   []Remote // in the order of git's configuration
	Primary   string   // name of the primary remote; empty when there is none
	Note      string   // why the repository was ignored ("owned by another user"), for kb which
}

// Remote is one configured remote.
type Remote struct {
	Name           string
	URL            string // as configured, credentials stripped
	Resolved       string // after git's insteadOf rules
	Normal         string // normal form of URL (docs/glossary.md), "" when it names no host
	NormalResolved string // normal form of Resolved
	Push           string // normal form of the push URL when it differs
}
