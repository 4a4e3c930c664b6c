package profile

import (
	"context"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

const (
	// maxAliases bounds how many names ssh is asked about: a repository has a
	// handful of remotes, a hostile one as many as it likes.
	maxAliases = 8
	// maxSSHConfig bounds the user's ssh configuration as kb looks through it,
	// and ssh's answer, in bytes.
	maxSSHConfig = 1 << 20
)

// sshTarget is a place to which ssh would connect.
type sshTarget struct {
	user string
	host string
	port int
}

// sshNames asks ssh what host aliases stand for. It starts no process for a
// name that looks like a real host's: aliases are names without a dot, names
// that end as no top-level domain does (github.com-work), and names that the
// user's own configuration has on a Host line.
type sshNames struct {
	env    Env
	config []string // words on the Host lines of ~/.ssh/config, lower case
	file   string   // ~/.ssh/config, "" if there is none
}

func newSSHNames(env Env) *sshNames {
	s := &sshNames{env: env}
	if env.Home == "" {
		return s
	}
	file := filepath.Join(env.Home, ".ssh", "config")
	data, err := readRegular(file, maxSSHConfig)
	if err != nil {
		return s
	}
	s.file = file
	for line := range strings.Lines(string(data)) {
		line = strings.ToLower(strings.TrimSpace(line))
		words := strings.FieldsFunc(line, func(r rune) bool {
			return r == ' ' || r == '\t' || r == '=' || r == '"' || r == ','
		})
		if len(words) > 1 && words[0] == "host" {
			s.config = append(s.config, words[1:]...)
		}
	}
	return s
}

// asks reports whether ssh is to be asked about host.
func (s *sshNames) asks(host string) bool {
	if s.env.SSH == "" || !isAliasName(host) {
		return false
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	if len(last) == len(host) || !strings.HasPrefix(last, "xn--") && strings.ContainsAny(last, "-_") {
		return true
	}
	for _, w := range s.config {
		if w == host {
			return true
		}
	}
	return false
}

// isAliasName reports whether host is [A-Za-z0-9][A-Za-z0-9._-]*: a Match exec
// line of the user's ssh configuration may hand the name to a shell.
func isAliasName(host string) bool {
	for i := range len(host) {
		c := lower(host[i])
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || i > 0 && (c == '.' || c == '_' || c == '-')) {
			return false
		}
	}
	return host != ""
}

// resolve asks about all targets, at most maxAliases, at once and returns the
// answers that differ from the question.
func (s *sshNames) resolve(ctx context.Context, targets []sshTarget) map[sshTarget]sshTarget {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	var (
		mu      sync.Mutex
		wg      sync.WaitGroup
		answers = make(map[sshTarget]sshTarget)
	)
	for _, t := range targets {
		wg.Go(func() {
			if a, ok := s.ask(ctx, t); ok {
				mu.Lock()
				defer mu.Unlock()
				answers[t] = a
			}
		})
	}
	wg.Wait()
	return answers
}

// ask runs ssh -G, which prints its settings for a host and connects nowhere.
// Home's configuration decides; with -F ssh leaves /etc/ssh/ssh_config out, so
// a name that Home's file does not know is asked again without it.
func (s *sshNames) ask(ctx context.Context, t sshTarget) (sshTarget, bool) {
	if s.file != "" {
		if a, ok := s.run(ctx, t, "-F", s.file); ok {
			return a, true
		}
	}
	return s.run(ctx, t)
}

func (s *sshNames) run(ctx context.Context, t sshTarget, options ...string) (sshTarget, bool) {
	argv := append([]string{s.env.SSH, "-G"}, options...)
	if isAliasName(t.user) {
		argv = append(argv, "-l", t.user)
	}
	if t.port != 0 {
		argv = append(argv, "-p", strconv.Itoa(t.port))
	}
	argv = append(argv, "--", t.host)
	out, err := runBounded(ctx, "/", []string{"HOME=" + s.env.Home, "LC_ALL=C", "PATH=/usr/bin:/bin"}, maxSSHConfig, argv...)
	if err != nil {
		return sshTarget{}, false
	}
	a := sshTarget{user: t.user, host: t.host, port: t.port}
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch key {
		case "hostname":
			host, _, err := cutPort(bracketed(value))
			if err != nil {
				return sshTarget{}, false
			}
			a.host = host
		case "port":
			if n, err := strconv.Atoi(value); err == nil && n != 22 {
				a.port = n
			}
		}
	}
	return a, a != t
}

// bracketed puts an IPv6 address into the brackets that cutPort wants.
func bracketed(host string) string {
	if strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") {
		return "[" + host + "]"
	}
	return host
}
