package desk

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"kb/tui"
)

const (
	// atMost is how often changes are told: what a person can follow.
	atMost = 100 * time.Millisecond
	// lockCheck is how often it is looked whether the identity is locked by now:
	// the kernel tells nobody. One system call.
	lockCheck = 20 * time.Second
	// lately: a vault that was written after its opening began, or shortly before,
	// is looked at again.
	lately = 20 * time.Millisecond
	// blindly is how often the files are looked at where the system does not
	// tell of changes: network file systems, and too many watches.
	blindly = 2 * time.Second
)

// Folders of this device's state (kb/internal/state) whose files change what the
// dashboard shows. The heads of the audit, written each second, are none of them.
var (
	tokenFolders = []string{"token", "journal", "pending", "pin", "setting", "reference"}
	vaultFolders = []string{"vault", "join"}
)

// Watch implements tui.Backend. Besides, it keeps tokens fresh: a dashboard that
// is open all day is where a person looks first when one has ended.
func (d *Desk) Watch(ctx context.Context, changed func(tui.Change)) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	p := &pulse{wake: make(chan struct{}, 1)}
	d.looking.mu.Lock()
	d.looking.told = func() { p.tell(tui.ChangedTokens) }
	d.looking.mu.Unlock()
	var all sync.WaitGroup
	for _, follow := range []func(context.Context, func(tui.Change)){d.followSessions, d.followFiles, d.keepFresh} {
		all.Go(func() {
			defer d.caught()
			follow(ctx, p.tell)
		})
	}
	fault := p.run(ctx, changed, d.faults)
	end()
	all.Wait()
	return fault
}

// pulse gathers changes, so that they are told at most so often.
type pulse struct {
	mu      sync.Mutex
	pending tui.Change
	wake    chan struct{}
}

func (p *pulse) tell(c tui.Change) {
	p.mu.Lock()
	p.pending |= c
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run tells of changes until ctx ends, or there is a fault, which it returns.
func (p *pulse) run(ctx context.Context, changed func(tui.Change), faults <-chan error) error {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case fault := <-faults:
			return fault
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case fault := <-faults:
			return fault
		case <-p.wake:
		}
		p.mu.Lock()
		c := p.pending
		p.pending = 0
		p.mu.Unlock()
		if c != 0 {
			changed(c)
		}
		pause.Reset(atMost)
	}
}

// keepFresh keeps the tokens of what is open fresh.
func (d *Desk) keepFresh(ctx context.Context, tell func(tui.Change)) {
	for ctx.Err() == nil {
		b, replaced := d.opened()
		if b == nil {
			select {
			case <-ctx.Done():
			case <-replaced:
			}
			continue
		}
		this, stop := context.WithCancel(ctx)
		go func() {
			select {
			case <-replaced:
			case <-this.Done():
			}
			stop()
		}()
		b.KeepFresh(this, func(line string) {
			d.note(line)
			tell(tui.ChangedTokens)
		})
		stop()
	}
}

// files are what is watched: folders, and what a change of a file in them means.
type files struct {
	folders map[string]bool
	means   func(path string) tui.Change
}

// watched are the folders to watch by now. Those that are not there yet are
// watched for by the nearest that is.
func (d *Desk) watched() files {
	f := files{folders: map[string]bool{}}
	vaults, git, tokens, lists := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	awaited := []string{}
	add := func(folder string) {
		for dir := folder; ; dir = filepath.Dir(dir) {
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				f.folders[dir] = true
				return
			}
			awaited = append(awaited, dir)
			if dir == filepath.Dir(dir) {
				return
			}
		}
	}
	paths := []string{d.o.Paths.Vault()}
	if b, _ := d.opened(); b != nil {
		paths = paths[:0]
		for _, v := range b.Vaults() {
			paths = append(paths, v.Path)
		}
	}
	for _, path := range paths {
		vaults[path] = true
		add(filepath.Dir(path))
		if real, err := filepath.EvalSymlinks(path); err == nil {
			vaults[real] = true
			add(filepath.Dir(real))
			for _, dir := range gitFolders(filepath.Dir(real)) {
				git[dir] = true
				add(dir)
			}
		}
	}
	state := filepath.Join(d.o.Paths.State, "state")
	add(d.o.Paths.State)
	add(state)
	for _, name := range tokenFolders {
		tokens[filepath.Join(state, name)] = true
		add(filepath.Join(state, name))
	}
	for _, name := range vaultFolders {
		lists[filepath.Join(state, name)] = true
		add(filepath.Join(state, name))
	}
	identity := map[string]bool{d.o.Paths.IdentityFile(): true, d.o.Paths.WrappedIdentityFile(): true}
	f.means = func(path string) tui.Change {
		folder := filepath.Dir(path)
		for _, dir := range awaited {
			if path == dir {
				return tui.ChangedVault | tui.ChangedTokens
			}
		}
		switch {
		case vaults[path], identity[path], lists[folder]:
			return tui.ChangedVault
		case git[folder] && !strings.HasSuffix(path, ".lock"):
			return tui.ChangedVault
		case tokens[folder]:
			return tui.ChangedTokens
		}
		return 0
	}
	return f
}

// gitFolders are where a repository's git keeps what its state is read from: the
// index, HEAD and the branches. Nil where the folder is in none, or its git
// folder is elsewhere.
func gitFolders(dir string) []string {
	for ; ; dir = filepath.Dir(dir) {
		git := filepath.Join(dir, ".git")
		if info, err := os.Lstat(git); err == nil {
			if !info.IsDir() {
				return nil
			}
			remotes, _ := filepath.Glob(filepath.Join(git, "refs", "remotes", "*"))
			return append(remotes, git, filepath.Join(git, "refs", "heads"))
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// followFiles tells of changes to the vaults, their repository, and what this
// device remembers.
func (d *Desk) followFiles(ctx context.Context, tell func(tui.Change)) {
	var events chan fsnotify.Event
	var lost chan error
	w, err := fsnotify.NewWatcher()
	if err == nil {
		defer w.Close()
		events, lost = w.Events, w.Errors
	}
	lock := time.NewTicker(lockCheck)
	defer lock.Stop()
	f := d.watched()
	known := map[string]bool{}
	_, replaced := d.opened()
	fresh := true              // nobody watched while the vault was opened
	var blind <-chan time.Time // when all is looked at again, because not all is watched
	for {
		for dir := range f.folders {
			switch {
			case known[dir]:
			case w != nil && w.Add(dir) == nil:
				known[dir] = true
			case blind == nil:
				blind = time.After(blindly)
			}
		}
		for dir := range known {
			if !f.folders[dir] {
				delete(known, dir)
				_ = w.Remove(dir) // it may be gone
			}
		}
		if fresh {
			if fresh = false; d.changedLately() {
				d.reload(ctx)
				tell(tui.ChangedVault)
			}
		}
		var c tui.Change
		select {
		case <-ctx.Done():
			return
		case <-replaced:
			_, replaced = d.opened()
			fresh = true
		case e := <-events:
			if e.Op != fsnotify.Chmod {
				c = f.means(e.Name)
			}
			if known[e.Name] && e.Op.Has(fsnotify.Remove) {
				delete(known, e.Name)
			}
			if c == 0 && !e.Op.Has(fsnotify.Create) && !e.Op.Has(fsnotify.Remove) {
				continue
			}
		case err := <-lost:
			_ = err // whatever it was, all is looked at again
			c = tui.ChangedVault | tui.ChangedTokens
		case <-blind:
			blind = nil
			c = tui.ChangedVault | tui.ChangedTokens
		case <-lock.C:
			if b, _ := d.opened(); b != nil && b.Locked() {
				c = tui.ChangedVault
			}
		}
		if c&tui.ChangedVault != 0 {
			d.reload(ctx)
		}
		f = d.watched()
		if c != 0 {
			tell(c)
		}
	}
}

// changedLately reports whether a vault may have changed after it was opened.
func (d *Desk) changedLately() bool {
	d.mu.Lock()
	b, at := d.broker, d.openedAt
	d.mu.Unlock()
	if b == nil {
		return false
	}
	for _, v := range b.Vaults() {
		// A file's time is as coarse as the kernel's clock, 10 ms at most.
		if info, err := os.Stat(v.Path); err != nil || info.ModTime().After(at.Add(-lately)) {
			return true
		}
	}
	return false
}

// reload reads what is open anew, or forgets it where it is another one.
func (d *Desk) reload(ctx context.Context) {
	b, _ := d.opened()
	if b == nil {
		return
	}
	// What cannot be read is told by Standing.
	if stale, err := b.Reload(ctx); stale || err == nil && b.Locked() {
		d.drop(time.Time{})
	}
}
