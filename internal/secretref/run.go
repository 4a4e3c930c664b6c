package secretref

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"kb/internal/plain"
	"kb/internal/secret"
)

const (
	// runTimeout: a manager that waits for a touch or a fingerprint gets this
	// long; one that asks on a terminal finds none and ends at once.
	runTimeout = 60 * time.Second
	// waitDelay is for what a program started and left behind with its output open.
	waitDelay = 2 * time.Second
	// maxComplaint bounds what is kept of a program's standard error, in bytes,
	// and maxShown what of it is shown.
	maxComplaint = 4 << 10
	maxShown     = 300
)

// foreign are variables, or the beginnings of their names, that make a program
// load code or trust what somebody else chose. An agent may have started kb
// with them; kb's own are in the first line, for they hold keys.
var foreign = []string{
	"KB_",
	"LD_", "DYLD_", "GCONV_PATH=", "LOCPATH=", "GLIBC_TUNABLES=", "MALLOC_", "BASH_ENV=", "ENV=", "BASH_FUNC_", "SHELLOPTS=", "BASHOPTS=", "PS4=", "ZDOTDIR=", "IFS=",
	"NODE_", "PYTHON", "PERL5", "PERLLIB=", "RUBYOPT=", "RUBYLIB=", "JAVA_TOOL_OPTIONS=", "_JAVA_OPTIONS=", "JDK_JAVA_OPTIONS=", "LUA_", "GODEBUG=", "GOTRACEBACK=",
	"OPENSSL_", "SSL_CERT_", "SSLKEYLOGFILE=", "CURL_", "REQUESTS_CA_BUNDLE=", "AWS_CA_BUNDLE=", "AWS_ENDPOINT_URL", "CLOUDSDK_PYTHON", "CLOUDSDK_API_ENDPOINT", "CLOUDSDK_PROXY",
	"HTTP_PROXY=", "HTTPS_PROXY=", "ALL_PROXY=", "NO_PROXY=", "http_proxy=", "https_proxy=", "all_proxy=", "no_proxy=",
	"PATH=", "PWD=", "OLDPWD=",
}

// environFor is a program's environment: kb's own without what is foreign.
func environFor(environ []string, search string) []string {
	out := []string{"PATH=" + search}
	for _, entry := range environ {
		if !slices.ContainsFunc(foreign, func(prefix string) bool { return strings.HasPrefix(entry, prefix) }) {
			out = append(out, entry)
		}
	}
	return out
}

// run starts a program without a terminal and returns what it printed.
func (r *Resolver) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	f, err := r.program(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	out, complaint := &bounded{most: maxValue + 1}, &bounded{most: maxComplaint}
	cmd := exec.CommandContext(ctx, f.Path, args...)
	cmd.Dir = "/"
	cmd.Env = environFor(r.o.Environ, f.Search)
	cmd.Stdout, cmd.Stderr = out, complaint
	// A session of its own: it has no terminal to ask on, which may be an
	// agent's at the moment, and is ended with all that it started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = waitDelay
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s did not end within %v", f.Path, r.o.Timeout)
	case out.over:
		return nil, ErrTooLong
	case err != nil:
		return nil, &RunError{f.Path, reason(err), complain(complaint.kept, out.kept, cmd.Env)}
	}
	return out.kept, nil
}

// RunError says how a program failed.
type RunError struct {
	Path      string
	Reason    string // "exit status 1"
	Complaint string // what it said about it: cleaned, shortened, without what it printed as a value
}

func (e *RunError) Error() string {
	if e.Complaint == "" {
		return fmt.Sprintf("%s failed: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%s failed: %s: %s", e.Path, e.Reason, e.Complaint)
}

func reason(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ProcessState.String()
	}
	return withoutPath(err).Error()
}

// complain makes a program's last words fit to be shown, without what it had
// printed as its value and without what it was given to get that.
func complain(words, printed []byte, environ []string) string {
	for line := range strings.Lines(string(printed)) {
		if line = strings.TrimSpace(line); len(line) >= 4 {
			words = bytes.ReplaceAll(words, []byte(line), []byte(secret.Redacted))
		}
	}
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); keyed(name) && len(value) >= quoted {
			words = bytes.ReplaceAll(words, []byte(value), []byte(secret.Redacted))
		}
	}
	text := strings.Join(strings.Fields(string(withoutParts(words, printed))), " ")
	if len(text) > maxShown {
		text = text[:maxShown] + "…"
	}
	return plain.Clean(text)
}

// quoted is how many bytes in a row of what a program printed are a part of its
// value: managers print an item as JSON, and complain of one field of it.
const quoted = 8

// withoutParts is a text without its parts that occur in printed.
func withoutParts(text, printed []byte) []byte {
	parts := map[string]bool{}
	for i := 0; i+quoted <= len(printed); i++ {
		parts[string(printed[i:i+quoted])] = true
	}
	var out []byte
	hidden := 0 // up to here
	for i := range text {
		if i+quoted <= len(text) && parts[string(text[i:i+quoted])] {
			if i > hidden || i == 0 {
				out = append(out, secret.Redacted...)
			}
			hidden = i + quoted
		}
		if i >= hidden {
			out = append(out, text[i])
		}
	}
	return out
}

// keyed reports whether a variable of that name holds what opens a manager:
// BW_SESSION, OP_SERVICE_ACCOUNT_TOKEN, AWS_SECRET_ACCESS_KEY and their like.
func keyed(name string) bool {
	return slices.ContainsFunc([]string{"TOKEN", "SECRET", "KEY", "SESSION", "PASS", "CREDENTIAL"}, func(word string) bool {
		return strings.Contains(strings.ToUpper(name), word)
	})
}

// bounded keeps the first bytes that are written to it. It embeds no Buffer,
// whose ReadFrom would read past the bound.
type bounded struct {
	kept []byte
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	room := max(0, b.most-len(b.kept))
	b.over = b.over || len(p) > room
	b.kept = append(b.kept, p[:min(len(p), room)]...)
	return len(p), nil
}
