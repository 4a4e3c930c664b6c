package profile

import (
	"fmt"
	"strings"
)

// What single hosts serve under several names, with the page that says so.

// sshOverHTTPS are the names under which the big hosts answer ssh on port 443.
func sshOverHTTPS(host string) (string, bool) {
	switch host {
	case "ssh.github.com": // docs.github.com: Using SSH over the HTTPS port
		return "github.com", true
	case "altssh.gitlab.com": // docs.gitlab.com: GitLab.com settings, alternative SSH port
		return "gitlab.com", true
	case "altssh.bitbucket.org": // support.atlassian.com: Use SSH on port 443
		return "bitbucket.org", true
	}
	return "", false
}

// azure gives the spellings of Azure Repos the one of its web pages. The old
// name of an organisation, ORG.visualstudio.com, is still served.
// learn.microsoft.com: Azure Repos, Use SSH key authentication; Allowed domain
// name URLs.
func azure(n Normal, l location) Normal {
	if n.Port != 0 {
		return n
	}
	seg := strings.Split(n.Path, "/")
	if l.scheme == "ssh" {
		if (n.Host == "ssh.dev.azure.com" || n.Host == "vs-ssh.visualstudio.com") && len(seg) == 4 && seg[0] == "v3" {
			return Normal{Host: "dev.azure.com", Path: seg[1] + "/" + seg[2] + "/_git/" + seg[3]}
		}
		return n
	}
	org, ok := strings.CutSuffix(n.Host, ".visualstudio.com")
	switch {
	case n.Host == "dev.azure.com" && len(seg) > 1:
		org, seg = seg[0], seg[1:]
	case ok && !strings.Contains(org, "."):
		if strings.EqualFold(seg[0], "DefaultCollection") {
			seg = seg[1:]
		}
	default:
		return n
	}
	if len(seg) == 2 && seg[0] == "_git" { // a project's repository of its own name
		seg = []string{seg[1], "_git", seg[1]}
	}
	if len(seg) != 3 || seg[1] != "_git" {
		return n
	}
	return Normal{Host: "dev.azure.com", Path: org + "/" + strings.Join(seg, "/")}
}

// codeCommit reads the address REGION://[profile@]NAME of git-remote-codecommit,
// https://github.com/aws/git-remote-codecommit.
func codeCommit(address string) (location, error) {
	region, name, ok := cutScheme(address)
	if !ok {
		return location{}, fmt.Errorf("read remote: %w: codecommit without a region", ErrNoHost)
	}
	if _, n, ok := strings.Cut(name, "@"); ok {
		name = n
	}
	if strings.ContainsAny(name, `@/\`) || strings.Contains(region, ".") {
		return location{}, refuse("it is no codecommit::REGION://NAME")
	}
	host := "git-codecommit." + strings.ToLower(region) + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn" // docs.aws.amazon.com/codecommit: endpoints of the China regions
	}
	if err := checkHost(host); err != nil {
		return location{}, err
	}
	return location{scheme: "https", host: host, path: "v1/repos/" + name}, nil
}
