// Command bench measures kb against its targets (docs/performance.md) and
// prints the table, in one run that alternates between the subjects:
//
//	go run .          the whole, in at most four minutes: what may be quoted
//	go run . -short   under a minute, for CI: ratios to look at
//
// # Subjects
//
// The same client asks the same upstream directly; through a blind tunnel,
// which is the least a proxy in user space can cost; through an interceptor
// made of net/http and httputil.ReverseProxy; through github.com/elazarl/goproxy
// with kept leaves and a pool as large as anyone's; and through kb. Client,
// upstream and each proxy are processes of their own.
//
// kb is the release binary (CGO_ENABLED=0 -trimpath -ldflags "-s -w"), built
// first, started as kb exec with default settings: audit on, a vault of 50
// logins and 200 rules, a session whose repository one of the rules claims.
// The session's child tells the client where the proxy is and waits.
//
// The upstream stands under providers' real names, on addresses of its own:
// the benchmark runs itself again in new user, network and mount namespaces
// with an /etc/hosts and a CA bundle of their own, as internal/testkit does.
// Where the machine refuses namespaces it says so and measures nothing.
//
// The dashboard is kb alone on a pseudo-terminal of 120 columns that answers
// what programs ask terminals, over a vault of 1,000 logins and 100,000 audit
// lines. A frame is there when its text has arrived; a key's repaint begins
// with the first byte that follows it.
//
// # Method
//
// Every row is measured in rounds; in a round each subject has its turn, and
// each round begins with another one. A ratio is the median of the rounds'
// ratios, so that what slows a whole round down falls out. A round of the
// keep-alive rows in which the blind tunnel reaches less than half of direct
// is noise: it is discarded, counted, and made up for while there is time.
// Figures in milliseconds are medians, and mean little on a machine that
// others use; quote ratios.
//
// A proxy's processor time is utime and stime of /proc/PID/stat. The 20 ms of
// an upstream far away are made in user space, by a relay that passes every
// byte 10 ms late. An event's delay is the difference of two readings of one
// clock.
//
// The upstream refuses requests without the credential, so a proxy that
// injects nothing fails instead of looking fast. When kb's session has ended,
// its audit must have an intent and an outcome for every request that was
// answered, and verify; if not, nothing is printed.
//
// # What it leaves out
//
// It fails on no figure. It has no row for what has no code yet: scrubbing,
// refresh, isolation tiers above hardened.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

// The roles that this program plays.
const (
	roleSetup    = "setup"    // makes the namespaces ready, then is the driver
	roleDriver   = "driver"   // measures
	roleUpstream = "upstream" // the origin
	roleTunnel   = "tunnel"
	roleReverse  = "reverse"
	roleGoproxy  = "goproxy"
	roleHold     = "hold" // the child of kb exec
)

// exitSetup says that the namespaces were refused.
const exitSetup = 97

func main() {
	isShort := flag.Bool("short", false, "fewer and shorter rounds, for CI")
	only := flag.String("only", "", "steps to measure, by name and separated by commas, such as \"keep-alive,bodies\"; default: all")
	kb := flag.String("kb", "", "kb to measure; default: the release binary, built from ..")
	as := flag.String("role", "", "what this process is; set by the benchmark itself")
	dir := flag.String("dir", "", "folder of the run; set by the benchmark itself")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := play(ctx, *as, *dir, options{*kb, *only, *isShort})
	stop()
	switch {
	case err == nil:
	case errors.Is(err, errNamespace):
		fmt.Println("bench: skipped:", err)
	default:
		fmt.Fprintln(os.Stderr, "bench:", err)
		if *as == roleSetup {
			os.Exit(exitSetup)
		}
		os.Exit(1)
	}
}

// options are what the user says.
type options struct {
	kb    string // path of the program; "" builds it
	only  string // names of steps; "" means all
	short bool
}

// args are the flags by which the next stage is told.
func (o options) args() []string {
	args := []string{"-kb", o.kb, "-only", o.only}
	if o.short {
		args = append(args, "-short")
	}
	return args
}

func (o options) scale() scale {
	if o.short {
		return short
	}
	return full
}

func play(ctx context.Context, as, dir string, o options) error {
	switch as {
	case roleUpstream, roleTunnel, roleReverse, roleGoproxy:
		go func() {
			_ = hold() // the driver's end closes the pipe
			os.Exit(0)
		}()
	}
	switch as {
	case roleSetup:
		return setUp(dir, o.args())
	case roleDriver:
		t, err := everything(ctx, dir, o)
		if err == nil {
			t.write(os.Stdout)
		}
		return err
	case roleUpstream:
		return serveUpstream(dir)
	case roleTunnel:
		return serveTunnel()
	case roleReverse:
		return serveReverse(dir)
	case roleGoproxy:
		return serveGoproxy(dir)
	case roleHold:
		greet(greeting{Proxy: os.Getenv("HTTPS_PROXY"), Bundle: os.Getenv("SSL_CERT_FILE")})
		return hold()
	}
	return begin(ctx, o)
}

// begin makes the run's folder and program, and enters the namespaces.
func begin(ctx context.Context, o options) error {
	// Not below a long TMPDIR: kb's session folder holds sockets (108 bytes, unix(7)).
	dir, err := os.MkdirTemp("", "kbb")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.kb == "" {
		o.kb = filepath.Join(dir, "kb")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", o.kb, "./cmd/kb")
		build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build kb: %w\n%s", err, out)
		}
	}
	if o.kb, err = filepath.Abs(o.kb); err != nil {
		return err
	}
	if err := writeWorld(dir); err != nil {
		return err
	}
	return enter(ctx, dir, o.args())
}
