package refresh

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/state"
)

// WorkerArgument is kb's only argument where it is a worker.
const WorkerArgument = "refresh-worker"

const (
	// handPatience is how long a worker waits for its job, and for a session to
	// take what could not be saved.
	handPatience = 5 * time.Second
	// lastStand is how long a worker whose session is gone goes on trying to save
	// new tokens: nobody else has them. A full disk is mostly emptied by
	// somebody who is looking at it.
	lastStand = 5 * time.Minute
	// lockDescriptor is the first of exec.Cmd's ExtraFiles.
	lockDescriptor = 3
)

// Exit codes of a worker. Nobody reads them but a person with strace.
const (
	workerDone    = 0
	workerUnsaved = 1
	workerNoJob   = 2
)

// WorkerMain is a worker's life: one job from stdin, done, its outcome to
// stdout. The caller has seen to it that no other process can read this one's
// memory. It does nothing without a job, and a job has the store's key in it:
// who has that needs no worker.
func WorkerMain(stdin, stdout *os.File) int {
	return work(stdin, stdout, workerOptions{})
}

// workerOptions are for tests. Zero values are the installed worker's.
type workerOptions struct {
	exchange func(context.Context, Grant, secret.Value) (oauth.Tokens, error)
	step     func(string)
	ctx      context.Context
	stand    time.Duration
}

func work(stdin, stdout *os.File, o workerOptions) int {
	// A session's end, by a signal to its group or by its terminal, is not the
	// worker's; neither is that nobody reads its answer.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGPIPE, syscall.SIGTSTP, syscall.SIGTTOU, syscall.SIGTTIN)
	syscall.CloseOnExec(lockDescriptor)
	if o.step == nil {
		o.step = func(string) {}
	}
	if o.ctx == nil {
		o.ctx = context.Background()
	}
	if o.stand == 0 {
		o.stand = lastStand
	}
	in := lines(stdin)
	if _, err := fmt.Fprintln(stdout, wireReady); err != nil {
		return workerNoJob
	}
	o.step("ready")
	line, ok := next(in, handPatience)
	if !ok {
		return workerNoJob
	}
	store, j, err := decodeJob(line)
	if err != nil {
		return workerNoJob
	}
	lock, err := store.InheritedTokenLock(j.key, os.NewFile(lockDescriptor, "lock"))
	if err != nil {
		return workerNoJob
	}
	defer func() { _ = lock.Leave() }()
	o.step("given")
	if o.exchange == nil {
		o.exchange = func(ctx context.Context, g Grant, refresh secret.Value) (oauth.Tokens, error) {
			client, err := newClient(store)
			if err != nil {
				return oauth.Tokens{}, err
			}
			return Ask(ctx, oauth.New(oauth.Options{Client: client}), g, refresh)
		}
	}
	p := performer{store: store, ask: o.exchange, now: time.Now, random: rand.Reader, step: o.step}
	t, err := p.perform(o.ctx, j)
	answer := wireAnswer{Token: []byte(state.EncodeToken(t).Reveal())}
	if err != nil {
		answer.Unsaved = err.Error()
	}
	b, _ := json.Marshal(answer) // strings and bytes
	_, told := stdout.Write(append(b, '\n'))
	o.step("told")
	if err == nil {
		return workerDone
	}
	if told == nil {
		if line, ok := next(in, handPatience); ok && string(line) == wireTaken {
			return workerDone
		}
	}
	return insist(o, store, j.key, t)
}

// insist saves tokens that nobody else has.
func insist(o workerOptions, store *state.Store, k state.LoginKey, t state.Token) int {
	for end := time.Now().Add(o.stand); time.Now().Before(end); time.Sleep(saveEvery) {
		if store.PutToken(o.ctx, k, t) == nil {
			_ = store.ClearJournal(k)
			o.step("saved late")
			return workerDone
		}
	}
	return workerUnsaved
}

// lines reads lines until the end of r.
func lines(r io.Reader) <-chan []byte {
	c := make(chan []byte, 1)
	go func() {
		defer close(c)
		s := bufio.NewScanner(r)
		s.Buffer(nil, wireMost)
		for s.Scan() {
			c <- append([]byte(nil), s.Bytes()...)
		}
	}()
	return c
}

func next(c <-chan []byte, patience time.Duration) ([]byte, bool) {
	end := time.NewTimer(patience)
	defer end.Stop()
	select {
	case line, ok := <-c:
		return line, ok
	case <-end.C:
		return nil, false
	}
}
