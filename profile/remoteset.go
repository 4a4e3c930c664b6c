package profile

import (
	"errors"
	"strings"

	"kb/internal/secret"
)

// configuration is what kb needs of git's settings, by git's own rules
// (remote.c).
type configuration struct {
	remotes     []*remoteSettings // in order of first appearance
	rewrites    []rewrite         // url.BASE.insteadOf
	pushes      []rewrite         // url.BASE.pushInsteadOf
	pushDefault string
	branches    map[string]*branchSettings
	worktree    string // core.worktree of the repository
}

type remoteSettings struct {
	name     string
	urls     []string
	pushURLs []string
}

type branchSettings struct{ remote, pushRemote string }

// rewrite replaces the prefix from by base.
type rewrite struct {
	base string
	from []string
}

// maxURLs bounds the URLs of all remotes together, and maxRewrites the rules
// that each is held against. The busiest repositories have some 200 remotes.
const (
	maxURLs     = 2000
	maxRewrites = 1000
)

var errConfigCrowded = errors.New("its configuration has more than 2,000 remote URLs or 1,000 insteadOf rules")

func readConfiguration(settings []setting) (*configuration, error) {
	c := &configuration{branches: make(map[string]*branchSettings)}
	byName := make(map[string]*remoteSettings)
	urls, rewrites := 0, 0
	for _, s := range settings {
		switch s.section {
		case "remote":
			if s.name == "" {
				if s.key == "pushdefault" {
					c.pushDefault = s.value
				}
				continue
			}
			if s.key != "url" && s.key != "pushurl" || s.name[0] == '/' {
				continue
			}
			if urls++; urls > maxURLs {
				return nil, errConfigCrowded
			}
			r := byName[s.name]
			if r == nil {
				r = &remoteSettings{name: s.name}
				byName[s.name] = r
				c.remotes = append(c.remotes, r)
			}
			list := &r.urls
			if s.key == "pushurl" {
				list = &r.pushURLs
			}
			if s.value == "" { // git 2.46: an empty value forgets the earlier ones
				*list = nil
				continue
			}
			*list = append(*list, s.value)
		case "branch":
			if s.name == "" || s.key != "remote" && s.key != "pushremote" {
				continue
			}
			b := c.branches[s.name]
			if b == nil {
				b = &branchSettings{}
				c.branches[s.name] = b
			}
			if s.key == "remote" {
				b.remote = s.value
			} else {
				b.pushRemote = s.value
			}
		case "url":
			if !s.named || s.key != "insteadof" && s.key != "pushinsteadof" {
				continue
			}
			if rewrites++; rewrites > maxRewrites {
				return nil, errConfigCrowded
			}
			if s.key == "insteadof" {
				c.rewrites = addRewrite(c.rewrites, s.name, s.value)
			} else {
				c.pushes = addRewrite(c.pushes, s.name, s.value)
			}
		case "core":
			if s.key == "worktree" && s.local {
				c.worktree = s.value
			}
		}
	}
	kept := c.remotes[:0]
	for _, r := range c.remotes {
		if len(r.urls)+len(r.pushURLs) > 0 {
			kept = append(kept, r)
		}
	}
	c.remotes = kept
	return c, nil
}

func addRewrite(list []rewrite, base, from string) []rewrite {
	for i := range list {
		if list[i].base == base {
			list[i].from = append(list[i].from, from)
			return list
		}
	}
	return append(list, rewrite{base: base, from: []string{from}})
}

// alias applies the longest matching rule, once; of equals the first. It
// returns that rule's length, or -1 if none matches.
func alias(url string, rules []rewrite) (result string, longest int) {
	longest, result = -1, url
	for _, r := range rules {
		for _, from := range r.from {
			if len(from) > longest && strings.HasPrefix(url, from) {
				longest, result = len(from), r.base+url[len(from):]
			}
		}
	}
	return result, longest
}

// primary is the name of the remote that decides: where the current branch
// pushes (remote.c, pushremote_for_branch), else origin, else the only one. A
// branch may name a URL in place of a remote, as gh pr checkout does; "." and
// names of nothing are passed over.
func (c *configuration) primary(branch string) string {
	var names []string
	b := c.branches[branch]
	if b != nil && branch != "" {
		names = append(names, b.pushRemote)
	}
	names = append(names, c.pushDefault)
	if b != nil && branch != "" {
		names = append(names, b.remote)
	}
	for _, n := range append(names, "origin") {
		if n == "" || n == "." {
			continue
		}
		if c.remote(n) != nil {
			return n
		}
		if _, err := NormalRemote(n); err == nil {
			return n
		}
	}
	if len(c.remotes) == 1 {
		return c.remotes[0].name
	}
	return ""
}

func (c *configuration) remote(name string) *remoteSettings {
	for _, r := range c.remotes {
		if r.name == name {
			return r
		}
	}
	return nil
}

// resolveURLs says what git makes of a remote's URLs (remote.c,
// alias_all_urls). A pushurl goes through insteadOf rules only; a url is also
// where git pushes unless there is a pushurl or a pushInsteadOf rule matches
// one of the urls, and then only those that it matches.
func (c *configuration) resolveURLs(r *remoteSettings) []URL {
	urls := make([]URL, 0, len(r.urls)+len(r.pushURLs))
	apply := func(out *URL, u string, rules []rewrite) (string, bool) {
		to, n := alias(u, rules)
		out.Fixed = out.Fixed || n == len(u)
		if user := userinfo(u); user != "" && strings.Contains(stripCredentials(to), user) {
			// A rule for "https:" makes a password part of the path.
			return strings.ReplaceAll(to, user, secret.Redacted), n >= 0
		}
		return to, n >= 0
	}
	onlyRewritten := false
	for _, u := range r.urls {
		_, n := alias(u, c.pushes)
		onlyRewritten = onlyRewritten || n >= 0
	}
	for i, u := range r.urls {
		out := configuredURL(u)
		fetch, _ := apply(&out, u, c.rewrites)
		if i == 0 { // git fetches from the first, and pushes to all
			out.Fetch = fetch
		}
		if len(r.pushURLs) == 0 {
			if push, ok := apply(&out, u, c.pushes); ok {
				out.Push = push
			} else if !onlyRewritten {
				out.Push = fetch
			}
		}
		urls = append(urls, out)
	}
	for _, u := range r.pushURLs {
		out := configuredURL(u)
		out.Push, _ = apply(&out, u, c.rewrites)
		urls = append(urls, out)
	}
	return urls
}

func configuredURL(u string) URL {
	out := URL{Exact: secret.New(u), Text: stripCredentials(u)}
	if n, err := NormalRemote(u); err == nil {
		out.Normal = n.String()
	}
	return out
}
