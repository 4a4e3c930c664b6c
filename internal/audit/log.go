package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrFailed says that the log cannot be written and takes no more lines. A
// caller refuses what it would have recorded.
var ErrFailed = errors.New("audit log cannot be written")

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("audit log is closed")

const (
	// DefaultMaxFile: bytes after which a file is followed by a successor.
	// 64 MiB hold some 200,000 lines, which Verify reads in half a second.
	DefaultMaxFile = 64 << 20
	// sealEvery bounds what a killed session can lose unnoticed, and what a
	// power cut can take.
	sealEvery = time.Second
	// sealGrace: a state that cannot be sealed into for so long makes the log
	// fail. It covers another kb that holds the state's lock for a slow disk.
	sealGrace = 10 * time.Second
)

// Options says how a session's log is kept. The zero Options is usable, but
// without an Index a cut tail is not found.
type Options struct {
	// Start is the session's first line. Its Phase, Session and Seq are set by
	// Create.
	Start Event
	// Index takes the file's name before the file exists, and its sealed head
	// each second. Nil seals nowhere.
	Index Sealer
	// Sync makes Append wait until the line is on disk (fsync).
	Sync bool
	// MaxFile bounds a file, in bytes. 0 means DefaultMaxFile.
	MaxFile int64
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Tick makes the log seal. Nil means once a second.
	Tick <-chan time.Time
}

// Log is one session's open log. Its methods may be called concurrently.
type Log struct {
	dir     string
	session string
	profile string // of the start line; the log's own lines have it too
	started time.Time
	key     [32]byte
	keyID   string
	index   Sealer
	sync    bool
	max     int64
	now     func() time.Time

	mu      sync.Mutex
	file    *os.File
	head    Head   // of file, as written and not yet sealed
	seq     uint64 // lines of the session
	chain   *chain
	used    bool // something was appended besides the log's own lines
	buf     []byte
	retired []part // full files that the next seal puts to rest
	err     error  // once set, every Append returns it
	closed  bool

	// sealMu orders seals and fsyncs. It is taken before mu, never inside it.
	sealMu     sync.Mutex
	synced     uint64 // lines of the session that are on disk
	sealed     Head
	dirSynced  string // the newest file whose name is on disk
	failing    time.Time
	quit, done chan struct{}
	once       sync.Once
	stopErr    error
}

// part is a file that gets no more lines.
type part struct {
	file *os.File
	head Head
}

// Create makes the log of a new session in dir, which it makes if need be, and
// writes the start line. The session's name may hold letters, digits, - and _;
// it must be new in its second. key is this device's audit key.
func Create(dir, session string, key [32]byte, o Options) (*Log, error) {
	if err := checkSession(session); err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	l := &Log{
		dir: dir, session: session, profile: o.Start.Profile, key: key, keyID: KeyID(key),
		index: o.Index, sync: o.Sync, max: o.MaxFile, now: o.Now,
		buf:  make([]byte, 0, 1024),
		quit: make(chan struct{}), done: make(chan struct{}),
	}
	if l.max <= 0 {
		l.max = DefaultMaxFile
	}
	if l.now == nil {
		l.now = time.Now
	}
	l.started = l.now().UTC().Truncate(time.Second)
	if l.index != nil {
		// Known to the index before it exists: no file that a session wrote
		// can be taken for a stranger's, and none can vanish unnoticed.
		if err := l.index.Seal(l.newHead(1)); err != nil {
			return nil, fmt.Errorf("open audit: %w", err)
		}
	}
	start := o.Start
	start.Phase, start.Session = PhaseStart, session
	if start.Time.IsZero() {
		start.Time = l.now()
	}
	if err := l.open(1, MAC{}); err != nil {
		return nil, err
	}
	if err := l.write(&start, &header{part: 1}); err != nil {
		_ = l.file.Close()
		return nil, err
	}
	if l.sync {
		if err := l.flush(l.seq); err != nil {
			_ = l.file.Close()
			return nil, err
		}
	}
	go l.run(o.Tick)
	return l, nil
}

// Session is the session's name.
func (l *Log) Session() string { return l.session }

// Path is the file that is being written.
func (l *Log) Path() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return filepath.Join(l.dir, l.head.File)
}

// Err is what every further Append will return: nil while the log works.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Append writes one line. When it returns nil the kernel has the line; with
// Options.Sync, the disk. After an error the log takes no more lines.
func (l *Log) Append(e Event) error {
	l.mu.Lock()
	l.used = true
	err := l.append(&e)
	seq := l.seq
	l.mu.Unlock()
	if err == nil && l.sync {
		err = l.flush(seq)
	}
	return err
}

// append is Append under mu, up to the write.
func (l *Log) append(e *Event) error {
	if l.err != nil {
		return l.err
	}
	if l.closed {
		return ErrClosed
	}
	e.Session = l.session
	if e.Time.IsZero() {
		e.Time = l.now()
	}
	if l.head.Size >= l.max {
		if err := l.rotate(); err != nil {
			return l.fail(err)
		}
	}
	if err := l.write(e, nil); err != nil {
		return l.fail(err)
	}
	return nil
}

// fail makes err the log's last word. Under mu.
func (l *Log) fail(err error) error {
	if l.err == nil {
		l.err = fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return l.err
}

// newHead is the head of a part that has no line yet.
func (l *Log) newHead(part int) Head {
	return Head{
		File: fileName(l.started, l.session, part), Session: l.session, Part: part,
		Started: l.started, KeyID: l.keyID,
	}
}

// open makes a part's file the one that is written. Under mu.
func (l *Log) open(part int, prev MAC) error {
	head := l.newHead(part)
	f, err := os.OpenFile(filepath.Join(l.dir, head.File), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("open audit: %w", err)
	}
	// Held until the process ends, however it ends: Prune leaves a locked
	// file alone. A lock that another process got first keeps Prune off too.
	_ = flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	l.file, l.head, l.chain = f, head, newChain(l.key, l.session, part, prev)
	return nil
}

// rotate puts the full file aside and opens its successor. Under mu. The old
// file's fsync and seal are left to the next seal: they take milliseconds and
// a request is waiting.
func (l *Log) rotate() error {
	old := part{l.file, l.head}
	old.head.Closed = true
	if err := l.open(old.head.Part+1, old.head.Last); err != nil {
		return err
	}
	l.retired = append(l.retired, old)
	first := Event{Time: l.now(), Session: l.session, Profile: l.profile, Phase: PhaseContinue}
	return l.write(&first, &header{part: l.head.Part, prev: old.head.Last})
}

// write encodes one line, chains it and hands it to the kernel. Under mu.
func (l *Log) write(e *Event, h *header) error {
	e.Seq = l.seq + 1
	l.buf = appendEvent(l.buf[:0], e, h)
	mac := l.chain.next(l.buf)
	l.buf = append(l.buf, macMember...)
	l.buf = append(l.buf, mac...)
	l.buf = append(l.buf, lineEnd...)
	n, err := l.file.Write(l.buf)
	if err != nil {
		if n > 0 {
			// A torn line of our own making is no evidence of anything.
			_ = l.file.Truncate(l.head.Size)
		}
		return fmt.Errorf("write audit: %w", err)
	}
	l.seq++
	l.head.Count++
	l.head.Last = l.chain.last
	l.head.Size += int64(n)
	l.head.At = e.Time
	return nil
}

// flush returns when line seq of the session is on disk. Concurrent callers
// share one fsync.
func (l *Log) flush(seq uint64) error {
	l.sealMu.Lock()
	defer l.sealMu.Unlock()
	if l.synced >= seq {
		return nil
	}
	_, err := l.syncAll()
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.fail(err)
	}
	return nil
}

// syncAll brings all that was written to disk and returns the heads that this
// makes true: of files that are done, then of the present one. Under sealMu.
func (l *Log) syncAll() ([]Head, error) {
	l.mu.Lock()
	file, head, seq, closed := l.file, l.head, l.seq, l.closed
	retired := l.retired
	idle := closed && !l.used
	l.mu.Unlock()
	if idle {
		// The session asked for nothing: two lines that say so are not worth
		// the disk's time at the end of every short command. They survive the
		// process as every line does, and may be lost with the power.
		l.synced, l.dirSynced = seq, head.File
	}
	heads := make([]Head, 0, len(retired)+1)
	for _, p := range retired {
		if err := p.file.Sync(); err != nil {
			return nil, fmt.Errorf("sync audit: %w", err)
		}
		heads = append(heads, p.head)
	}
	if l.synced < seq {
		if err := file.Sync(); err != nil {
			return nil, fmt.Errorf("sync audit: %w", err)
		}
	}
	if l.dirSynced != head.File {
		if err := syncDir(l.dir); err != nil {
			return nil, fmt.Errorf("sync audit: %w", err)
		}
		l.dirSynced = head.File
	}
	l.synced = seq
	head.Closed = closed
	return append(heads, head), nil
}

// Seal brings all lines to disk and their count and last MAC into the index.
// It happens by itself each second.
func (l *Log) Seal() error {
	l.sealMu.Lock()
	defer l.sealMu.Unlock()
	return l.seal()
}

// seal is Seal under sealMu.
func (l *Log) seal() error {
	heads, err := l.syncAll()
	if err == nil {
		err = l.intact(heads[len(heads)-1])
	}
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.fail(err)
	}
	present := heads[len(heads)-1]
	if l.index != nil && (len(heads) > 1 || present != l.sealed) {
		if err := l.index.Seal(heads...); err != nil {
			return l.unsealed(err)
		}
	}
	l.sealed, l.failing = present, time.Time{}
	l.mu.Lock()
	retired := l.retired[:len(heads)-1]
	l.retired = l.retired[len(heads)-1:]
	l.mu.Unlock()
	for _, p := range retired {
		_ = p.file.Close()
	}
	return nil
}

// unsealed decides what a failed seal means: a moment's trouble, or the end of
// the log once it has lasted for sealGrace.
func (l *Log) unsealed(err error) error {
	err = fmt.Errorf("seal audit: %w", err)
	now := l.now()
	if l.failing.IsZero() {
		l.failing = now
	}
	if now.Sub(l.failing) < sealGrace {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fail(err)
}

// intact notices that someone removed, replaced or cut the file that is being
// written, so that a session stops using credentials unrecorded.
func (l *Log) intact(head Head) error {
	path := filepath.Join(l.dir, head.File)
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("check audit: %w", err)
	}
	l.mu.Lock()
	file, current := l.file, l.head.File
	l.mu.Unlock()
	if current != head.File {
		return nil // rotated meanwhile; the next seal looks at the successor
	}
	own, err := file.Stat()
	if err != nil {
		return fmt.Errorf("check audit: %w", err)
	}
	if !os.SameFile(info, own) {
		return fmt.Errorf("check audit: %q was replaced", path)
	}
	if own.Size() < head.Size {
		return fmt.Errorf("check audit: %q was cut from %d to %d bytes", path, head.Size, own.Size())
	}
	return nil
}

// run seals at each tick until Close.
func (l *Log) run(tick <-chan time.Time) {
	defer close(l.done)
	if tick == nil {
		t := time.NewTicker(sealEvery)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-l.quit:
			return
		case <-tick:
			_ = l.Seal() // a lasting failure is kept in l.err
		}
	}
}

// Stop writes the stop line with detail, such as the child's exit status,
// brings all to disk, seals it and closes the file. Only the first call does
// anything; the others return what it returned.
func (l *Log) Stop(detail string) error {
	l.once.Do(func() { l.stopErr = l.stop(detail) })
	return l.stopErr
}

// Close is Stop without a detail.
func (l *Log) Close() error { return l.Stop("") }

func (l *Log) stop(detail string) error {
	l.mu.Lock()
	err := l.append(&Event{Phase: PhaseStop, Profile: l.profile, Detail: detail})
	l.closed = err == nil
	l.mu.Unlock()
	close(l.quit)
	<-l.done
	l.sealMu.Lock()
	defer l.sealMu.Unlock()
	if e := l.seal(); err == nil {
		err = e
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, p := range l.retired {
		_ = p.file.Close()
	}
	if e := l.file.Close(); err == nil && e != nil {
		err = fmt.Errorf("close audit: %w", e)
	}
	return err
}

// syncDir brings the names in dir to disk.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// flock takes or tries a lock on f; the kernel drops it with the last
// descriptor.
func flock(f *os.File, how int) error {
	for {
		err := syscall.Flock(int(f.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
