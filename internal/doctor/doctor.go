// Package doctor looks at all that kb needs on this device, and says of what is
// wrong what it means and which command mends it.
//
// [Checks] is the list; what comes later adds to it. A check changes nothing,
// asks nobody and uses no network of its own: where a login's secret is in another
// manager, that is asked as for any use of it.
package doctor

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"kb/internal/broker"
	"kb/internal/hint"
)

// State is how a check ended.
type State string

// States of a check.
const (
	OK      State = "ok"
	Warning State = "warning" // kb works, and a person should know
	Failed  State = "failed"  // something does not work, or is not safe
	Skipped State = "skipped" // it does not apply here; Line says why
)

// Result is what a check found.
type Result struct {
	State State
	Line  string // what was found, one line
	Why   string // what it means; "" where all is well
	Fix   string // the command that mends it; "" for none
}

// Options are what the checks look at.
type Options struct {
	Paths  broker.Paths
	Getenv func(string) string
	// Open gives the broker with all vaults that can be opened. Its errors have
	// advice.
	Open func(context.Context) (*broker.Broker, error)
	Now  func() time.Time // nil means time.Now
	// Traced reports whether another process traces this one. Nil skips that.
	Traced func() bool
	// Config reads config.toml, and says what is wrong with it. Nil skips that.
	Config func(data []byte) error
	// GitAttention is what a person should see to about a vault's repository.
	// Nil means nothing.
	GitAttention func(broker.GitState) []string
	// Command is a program that is to be started by kb exec; "" for none.
	Command string
}

// Check is one thing that is looked at.
type Check struct {
	Name string
	run  func(context.Context, *Options) Result
}

// Checks are all, in the order in which they are shown.
var Checks = []Check{
	{"vault", checkVault},
	{"devices", checkDevices},
	{"git", checkGit},
	{"files", checkFiles},
	{"logins", checkLogins},
	{"sessions", checkSessions},
	{"runtime", checkRuntime},
	{"isolation", checkIsolation},
	{"trace", checkTrace},
	{"audit", checkAudit},
	{"clock", checkClock},
	{"config", checkConfig},
	{"command", checkCommand},
}

// Report is a check and what it found.
type Report struct {
	Name string
	Result
}

// Run runs every check, several at once, and tells of each when it begins (nil)
// and when it ends. What told does is done one at a time. It returns what was
// found, in the order of Checks; that of "command" is left out where there is
// none.
func Run(ctx context.Context, o Options, told func(name string, r *Result)) []Report {
	if o.Now == nil {
		o.Now = time.Now
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	var reports []Report
	for _, c := range Checks {
		if c.Name == "command" && o.Command == "" {
			continue
		}
		reports = append(reports, Report{Name: c.Name})
		told(c.Name, nil)
	}
	for i := range reports {
		all.Go(func() {
			r := find(reports[i].Name).look(ctx, &o)
			r.Why = strings.TrimSpace(r.Why)
			mu.Lock()
			defer mu.Unlock()
			reports[i].Result = r
			told(reports[i].Name, &r)
		})
	}
	all.Wait()
	return reports
}

// look runs a check. One that panics has found a fault of kb's, and the others go
// on: a doctor is asked when something is broken. What it panicked with may hold
// what nobody should see.
func (c Check) look(ctx context.Context, o *Options) (r Result) {
	defer func() {
		if value := recover(); value != nil {
			r = Result{State: Failed, Line: fmt.Sprintf("the check itself broke (a panic with a %T); this is a fault of kb", value)}
		}
	}()
	return c.run(ctx, o)
}

func find(name string) Check {
	for _, c := range Checks {
		if c.Name == name {
			return c
		}
	}
	return Check{}
}

// good, skipped and bad are results in a word.
func good(format string, args ...any) Result {
	return Result{State: OK, Line: fmt.Sprintf(format, args...)}
}

func skipped(why string) Result { return Result{State: Skipped, Line: why} }

func bad(state State, err error, why string) Result {
	return Result{State: state, Line: err.Error(), Why: why, Fix: hint.Fix(err)}
}

// opened gives the broker to a check that needs it.
func opened(ctx context.Context, o *Options, check func(*broker.Broker) Result) Result {
	b, err := o.Open(ctx)
	if err != nil {
		return skipped("the vault is not open")
	}
	return check(b)
}

// plural is "1 login", "2 logins".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// parted takes the command that mends a thing off the line that tells of it.
func parted(line, at string) (what, fix string) {
	what, fix, _ = strings.Cut(line, at)
	if fix != "" {
		fix = "run " + fix
	}
	return what, fix
}

// maxListed is how many lines an explanation has at most: nobody reads a thousand.
const maxListed = 20

// listed makes one line of several, and the rest the explanation.
func listed(lines []string) (line, rest string) {
	line = lines[0]
	for i, more := range lines[1:] {
		if i == maxListed {
			rest += "\n…"
			break
		}
		rest += "\n" + more
	}
	if n := len(lines) - 1; n > 0 {
		line += fmt.Sprintf(" (and %d more)", n)
		rest = "Also:" + rest
	}
	return line, rest
}
