package broker

import (
	"fmt"
	"strconv"
	"strings"
)

// gitHelper answers git's credential request with a placeholder, so that git
// does not ask a person; the proxy puts the real one on the request.
const gitHelper = `!f() { test "$1" = get && printf 'username=kb\npassword=kb-placeholder\n'; }; f`

// gitEnvironment sets git's configuration by GIT_CONFIG_COUNT (git-config(1)),
// which beats the repository's own file and survives into submodules. It is
// appended to what the parent has set that way; no file is written.
func (s *Session) gitEnvironment(e *environment) {
	count, err := strconv.Atoi(e.get("GIT_CONFIG_COUNT"))
	if err != nil || count < 0 {
		count = 0
	}
	add := func(key, value string) {
		e.set(fmt.Sprintf("GIT_CONFIG_KEY_%d", count), key)
		e.set(fmt.Sprintf("GIT_CONFIG_VALUE_%d", count), value)
		count++
	}
	if p, ok := s.snapshot.Load().profiles[s.own]; ok {
		if p.GitName != "" {
			add("user.name", p.GitName)
		}
		if p.GitEmail != "" {
			add("user.email", p.GitEmail)
		}
		if p.SigningKey != "" {
			add("user.signingkey", p.SigningKey)
		}
	}
	add("credential.helper", "") // an empty one resets the user's list
	add("credential.helper", gitHelper)
	add("credential.useHttpPath", "true")
	add("http.proxy", e.get("HTTPS_PROXY")) // a user's own http.proxy would beat the variable
	add("http.proxyAuthMethod", "basic")    // else git sends the proxy's password only after a 407
	// Debian 12's git (libcurl-gnutls 7.88) now and then hangs for good in a
	// chunked push over HTTP/2, whoever serves it (curl#11342, curl#14892).
	add("http.version", "HTTP/1.1")
	for _, r := range s.rewrites() {
		add("url."+r.to+".insteadOf", r.from)
		// A user's own pushInsteadOf would still send the push to ssh.
		add("url."+r.to+".pushInsteadOf", r.from)
	}
	e.set("GIT_CONFIG_COUNT", strconv.Itoa(count))
	e.set("GIT_TERMINAL_PROMPT", "0")
}

// rewrite is one url.<to>.insteadOf=<from> rule.
type rewrite struct{ from, to string }

// rewrites sends ssh remotes of hosts that the session intercepts over https.
// A prefix rule for each host, and the exact URL of each of the repository's
// remotes: a user's own longer prefix beats the former but not the latter.
func (s *Session) rewrites() []rewrite {
	snap := s.snapshot.Load()
	var out []rewrite
	for _, host := range snap.gitHosts {
		to := "https://" + host + "/"
		for _, from := range []string{"git@" + host + ":", "ssh://git@" + host + "/", "ssh://git@" + host + ":22/"} {
			out = append(out, rewrite{from, to})
		}
	}
	for _, remote := range s.workspace.Remotes {
		for _, u := range remote.URLs {
			// Git is told the URL as it is configured, which is what it compares;
			// one that holds a password is not ssh and stays as it is.
			if u.Text != u.Exact.Reveal() {
				continue
			}
			for _, reached := range []struct{ by, normal string }{{u.Fetch, u.NormalFetch}, {u.Push, u.NormalPush}} {
				host, path, ok := strings.Cut(reached.normal, "/")
				if ok && snap.isGitHost(host) && isSSH(reached.by) {
					out = append(out, rewrite{u.Text, "https://" + host + "/" + path + ".git"})
					break
				}
			}
		}
	}
	return out
}

// isSSH reports whether git would reach url by ssh: the scheme, or the scp-like
// form with a colon before the first slash.
func isSSH(url string) bool {
	if strings.HasPrefix(url, "ssh://") || strings.HasPrefix(url, "git+ssh://") {
		return true
	}
	if strings.Contains(url, "://") {
		return false
	}
	colon, slash := strings.IndexByte(url, ':'), strings.IndexByte(url, '/')
	return colon > 0 && (slash < 0 || colon < slash)
}
