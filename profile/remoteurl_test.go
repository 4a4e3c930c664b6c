package profile

import (
	"errors"
	"strings"
	"testing"
)

// One repository has one normal form, however it is written. Expected values
// are from docs/glossary.md and the vendors' pages, written by hand.
var normalForms = []struct{ remote, normal string }{
	// scp-like
	{"git@github.com:acme/api.git", "github.com/acme/api"},
	{"github.com:acme/api", "github.com/acme/api"},
	{"org-123@github.com:acme/api.git", "github.com/acme/api"},
	{"git@GitHub.COM:acme/api.git/", "github.com/acme/api"},
	{"git@github.com.:acme/api", "github.com/acme/api"},
	{"git@github.com:/acme//api.git", "github.com/acme/api"},
	{"git@host.acme.example:~me/x.git", "host.acme.example/~me/x"},
	{"[git@git.acme.example:2222]:acme/api", "git.acme.example:2222/acme/api"},
	{"[git.acme.example]:acme/api", "git.acme.example/acme/api"},
	{"git@[git.acme.example]:acme/api", "git.acme.example/acme/api"},
	{"git@[git.acme.example:2222]:acme/api", "git.acme.example:2222/acme/api"},
	{"git@[::1]:acme/api", "[::1]/acme/api"},
	{"[::1]:acme/api", "[::1]/acme/api"},
	{"git@[2001:DB8::0:1]:acme/api", "[2001:db8::1]/acme/api"},
	{"git@github-work:acme/api.git", "github-work/acme/api"},
	{"git@github.com:acme/100%25.git", "github.com/acme/100%25"}, // git decodes no scp-like path
	{"git@github.com:acme/api:v2", "github.com/acme/api:v2"},
	{"git@github.com:22:acme/api", "github.com/22:acme/api"},
	{"git@github.com:acme/api.git/.git", "github.com/acme/api"},
	{"git@github.com:acme/./api", "github.com/acme/api"},

	// ssh
	{"ssh://git@github.com/acme/api.git", "github.com/acme/api"},
	{"ssh://git@github.com:22/acme/api.git", "github.com/acme/api"},
	{"ssh://git@github.com:/acme/api.git", "github.com/acme/api"},
	{"ssh://git@ssh.github.com:443/acme/api.git", "github.com/acme/api"},
	{"ssh://git@ssh.github.com/acme/api.git", "github.com/acme/api"},
	{"git@ssh.github.com:acme/api.git", "github.com/acme/api"},
	{"ssh://git@ssh.github.com:2222/acme/api.git", "ssh.github.com:2222/acme/api"},
	{"ssh://git@altssh.gitlab.com:443/acme/api.git", "gitlab.com/acme/api"},
	{"ssh://git@altssh.bitbucket.org:443/acme/api.git", "bitbucket.org/acme/api"},
	{"git+ssh://git@github.com/acme/api", "github.com/acme/api"},
	{"ssh+git://git@github.com/acme/api", "github.com/acme/api"},
	{"ssh://git.acme.example:2222/srv/git/api.git", "git.acme.example:2222/srv/git/api"},
	{"ssh://git@git.acme.example:443/acme/api", "git.acme.example:443/acme/api"},
	{"ssh://git@[::1]:2222/x", "[::1]:2222/x"},
	{"ssh://git@host.acme.example/~me/x", "host.acme.example/~me/x"},
	{"ssh://me:pw@github.com/acme/api", "github.com/acme/api"},
	{"ssh://git@github.com/acme/%61pi", "github.com/acme/api"},
	{"ssh://git@github.com/acme/%2561pi", "github.com/acme/%61pi"},
	{"ssh://git@github.com/acme/a%zz", "github.com/acme/a%zz"},

	// web
	{"https://github.com/acme/api", "github.com/acme/api"},
	{"https://github.com/acme/api.git/", "github.com/acme/api"},
	{"https://github.com:443/acme/api.git", "github.com/acme/api"},
	{"http://github.com:80/acme/api.git", "github.com/acme/api"},
	{"http://github.com:443/acme/api.git", "github.com:443/acme/api"},
	{"https://github.com:80/acme/api.git", "github.com:80/acme/api"},
	{"https://me@github.com/acme/api", "github.com/acme/api"},
	{"https://me:pw@github.com/acme/api", "github.com/acme/api"},
	{"https://me%40acme.example:p%2Fw@github.com/acme/api", "github.com/acme/api"},
	{"https://good.example@evil.example/acme/api", "evil.example/acme/api"},
	{"https://good.example:pw@evil.example/acme/api", "evil.example/acme/api"},
	{"https://127.0.0.1/x", "127.0.0.1/x"},
	{"https://git.acme.example/Team/Api", "git.acme.example/Team/Api"},
	{"https://git.acme.example:8443/x/y.git", "git.acme.example:8443/x/y"},
	{"https://git.acme.example/x%20y/z", "git.acme.example/x y/z"},
	{"https://github.com/acme%2Fapi", "github.com/acme/api"},
	{"https://github.com/acme/.github", "github.com/acme/.github"},
	{"https://github.com/acme/api.git.git", "github.com/acme/api"},
	{"git://git.acme.example/x.git", "git.acme.example/x"},
	{"git://git.acme.example:9418/x.git", "git.acme.example/x"},

	// Azure Repos, learn.microsoft.com/azure/devops/repos/git
	{"https://dev.azure.com/acme/shop/_git/api", "dev.azure.com/acme/shop/_git/api"},
	{"https://acme@dev.azure.com/acme/shop/_git/api", "dev.azure.com/acme/shop/_git/api"},
	{"git@ssh.dev.azure.com:v3/acme/shop/api", "dev.azure.com/acme/shop/_git/api"},
	{"ssh://git@ssh.dev.azure.com/v3/acme/shop/api", "dev.azure.com/acme/shop/_git/api"},
	{"acme@vs-ssh.visualstudio.com:v3/acme/shop/api", "dev.azure.com/acme/shop/_git/api"},
	{"https://acme.visualstudio.com/shop/_git/api", "dev.azure.com/acme/shop/_git/api"},
	{"https://acme.visualstudio.com/DefaultCollection/shop/_git/api", "dev.azure.com/acme/shop/_git/api"},
	{"https://dev.azure.com/acme/_git/shop", "dev.azure.com/acme/shop/_git/shop"},
	{"https://acme.visualstudio.com/_git/shop", "dev.azure.com/acme/shop/_git/shop"},

	// AWS CodeCommit, github.com/aws/git-remote-codecommit and its https form
	{"codecommit::eu-west-1://api", "git-codecommit.eu-west-1.amazonaws.com/v1/repos/api"},
	{"codecommit::eu-west-1://work@api", "git-codecommit.eu-west-1.amazonaws.com/v1/repos/api"},
	{"https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/api", "git-codecommit.eu-west-1.amazonaws.com/v1/repos/api"},
	{"codecommit::cn-north-1://api", "git-codecommit.cn-north-1.amazonaws.com.cn/v1/repos/api"},
}

func TestNormalRemote(t *testing.T) {
	for _, c := range normalForms {
		n, err := NormalRemote(c.remote)
		if err != nil {
			t.Errorf("NormalRemote(%q): %v", c.remote, err)
		} else if got := n.String(); got != c.normal {
			t.Errorf("NormalRemote(%q) = %q, want %q", c.remote, got, c.normal)
		}
	}
}

// What is no place on a network must not become one that a rule could name.
func TestNormalRemoteOfNoHost(t *testing.T) {
	for _, remote := range []string{
		"/srv/git/api.git", "./a:b", "../api", "api", "a/b:c", "~/api", "file:///srv/git/api.git",
		"file://github.com/acme/api", `C:\acme\api`, "C:/acme/api", "c:/acme/api",
		"ext::ssh github.com %S acme/api", "ext::sh -c 'echo github.com/acme/api'", "fd::17",
		"https::https://github.com/acme/api", "s3://github.com/acme/api", "codecommit://api",
		"codecommit::api", "gcrypt::git@github.com:acme/api",
	} {
		if n, err := NormalRemote(remote); !errors.Is(err, ErrNoHost) {
			t.Errorf("NormalRemote(%q) = %q, %v; want ErrNoHost", remote, n, err)
		}
	}
}

// A remote that two programs could read as two places is refused, so that no
// rule can be tricked into claiming it.
func TestNormalRemoteTricks(t *testing.T) {
	for _, remote := range []string{
		"", "git@:x", ":x", "git@github.com:", "https:///acme/api", "https://github.com", "https://github.com/", "https://github.com/.git",
		"git@good.example:evil/../acme/api", "git@good.example:..", "https://github.com/acme/../evil/api",
		"https://github.com/acme/%2e%2e/evil", "https://github.com/acme/%2E./evil", "ssh://git@github.com/acme/..%2fevil",
		"https://good.example@evil.example@github.com/acme/api",
		`https://github.com\@evil.example/acme/api`, `https://evil.example\@github.com/acme/api`, `git@github.com:acme\api`,
		"https://github.com/acme%5Capi",
		"https://github.com?@evil.example/acme/api", "https://github.com#@evil.example/acme/api", "https://github.com/acme/api?x=y",
		"ssh://good.example%2F@evil.example/x", "ssh://good.example%40evil.example/x", "ssh://github.com%00.evil.example/x",
		"ssh://[good.example]@evil.example/x", "ssh://%5Bgood.example%5D@evil.example/x", "ssh://a@[good.example]@evil.example/x",
		"ssh://[good.example]:22@evil.example/x", "ssh://x@[::1]@evil.example/x", "git://[good.example]@evil.example/x", "git://u@evil.example/x", "git://@evil.example/x",
		"https://[good.example]@evil.example/x", "[good.example]@evil.example:x", "ssh://a%40b@evil.example/x",
		"[github.com:]:acme/api",
		"git@github.com:acme@[evil.example]:api", "github.com:x@[evil.example]:y", "ssh://git@github.com/acme@[evil.example]/api",
		"ssh://github.com/acme%40%5Bevil.example%5D/api", "git://github.com/acme@[evil.example]/api",
		"https://github%2ecom/acme/api", "ssh://-oProxyCommand=touch%20x/acme", "ssh://-oProxyCommand=x/acme/api", "-oProxyCommand=x:acme/api",
		"https://github.com:x/acme/api", "https://github.com:99999/acme/api", "https://github.com:0/acme/api", "https://github.com:-1/acme/api",
		"https://[::1/acme/api", "https://[github.com]/acme/api", "https://[::1]x/acme/api", "https://[fe80::1%25eth0]/acme/api", "git@[::1:acme/api",
		"https://github.com/acme/api\nx", "https://github.com/acme/%0aapi", "https://github.com/acme/%00api", "git@git\x1bhub.com:acme/api",
		"https://git hub.com/acme/api", "https://.github.com/acme/api", "https://github..com/acme/api",
		"https://github.com/acme/\u202eipa", "https://gïthub.com/acme/api", "https://github.com\uff0eevil.example/acme/api", "https://github.com/\xff/api",
		"http://0/x", "http://127.1/x", "http://0x7f000001/x", "git@2130706433:x", "ssh://127.0.0.01/x", "https://github.com../x",
		"codecommit::eu-west-1.evil.example/://api", "codecommit::eu-west-1://a/../b", "codecommit::evil.example://api",
		"https://github.com/" + strings.Repeat("a", maxRemote), "https://" + strings.Repeat("a", 254) + "/x",
	} {
		n, err := NormalRemote(remote)
		if err == nil {
			t.Errorf("NormalRemote(%q) = %q, want an error", remote, n)
		} else if errors.Is(err, ErrNoHost) && !strings.HasPrefix(remote, "codecommit") {
			t.Errorf("NormalRemote(%q): %v, want one that says what is wrong", remote, err)
		}
	}
}

// An error is logged and shown: it must not carry what the URL carried.
func TestNormalRemoteErrorsHoldNoSecret(t *testing.T) {
	for _, remote := range []string{
		"https://me:canary@github.com/acme/../api", "https://canary@@github.com/x", "https://github.com/x?token=canary",
		"https://me:canary@github.com:x/acme", "s3://me:canary@x/y", "ext::canary", "ssh://me:canary%2F@x/y",
	} {
		_, err := NormalRemote(remote)
		if err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("NormalRemote(%q): error %v", remote, err)
		}
	}
}

func TestFold(t *testing.T) {
	for in, want := range map[string]string{
		"git@github.com:Acme/API.git":       "github.com/acme/api",
		"https://gitlab.com/Acme/API":       "gitlab.com/acme/api",
		"https://bitbucket.org/Acme/API":    "bitbucket.org/acme/api",
		"https://git.acme.example/Acme/API": "git.acme.example/Acme/API",
		"https://github.com:8443/Acme/API":  "github.com:8443/Acme/API",
	} {
		n, err := NormalRemote(in)
		if got := FoldRemote(n.String()); err != nil || got != want {
			t.Errorf("FoldRemote(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestStripCredentials(t *testing.T) {
	for in, want := range map[string]string{
		"https://me:canary@github.com/acme/api":  "https://github.com/acme/api",
		"https://canary@github.com/acme/api":     "https://github.com/acme/api",
		"https://a:canary@b@github.com/acme/api": "https://github.com/acme/api",
		"HTTPS://canary@github.com/acme/api":     "HTTPS://github.com/acme/api",
		"https://github.com/x?token=canary":      "https://github.com/x",
		"https://github.com/x#canary":            "https://github.com/x",
		"https://github.com?canary@x/y":          "https://github.com",
		"ssh://git:canary@github.com/acme/api":   "ssh://git@github.com/acme/api",
		"ssh://git@github.com/acme/api":          "ssh://git@github.com/acme/api",
		"git@github.com:acme/api":                "git@github.com:acme/api",
		"https::https://canary@github.com/x":     "https::https://github.com/x",
		"s3://canary@bucket/x":                   "s3://bucket/x",
		"https://github.com/acme/api@canary":     "https://github.com/acme/api@canary", // a path, not userinfo
	} {
		if got := stripCredentials(in); got != want {
			t.Errorf("stripCredentials(%q) = %q, want %q", in, got, want)
		}
	}
}

// A normal form is a fixed point, and its host is nothing but a host.
func FuzzNormalRemote(f *testing.F) {
	for _, c := range normalForms {
		f.Add(c.remote)
	}
	f.Add("https://good@evil/x")
	f.Add("git@good:evil/..")
	f.Fuzz(func(t *testing.T, remote string) {
		n, err := NormalRemote(remote)
		if err != nil {
			return
		}
		s := n.String()
		if n.Host == "" || strings.ContainsAny(n.Host, "@/\\%?# \t\r\n\x00") || n.Host != strings.ToLower(n.Host) || n.Host[0] == '-' {
			t.Errorf("NormalRemote(%q): host %q", remote, n.Host)
		}
		if n.Path == "" || n.Path[0] == '/' || strings.HasSuffix(n.Path, "/") || strings.HasSuffix(n.Path, ".git") ||
			strings.Contains(n.Path, "//") || strings.Contains("/"+n.Path+"/", "/../") || badText(n.Path, maxRemote) != "" {
			t.Errorf("NormalRemote(%q): path %q", remote, n.Path)
		}
		if strings.ContainsAny(n.Path, "%?#") || strings.Contains(n.Host, "azure") || strings.Contains(n.Host, "visualstudio") {
			return // written as a URL these would mean something else
		}
		again, err := NormalRemote("https://" + s)
		if err != nil || again.String() != s && n.Port != 443 {
			t.Errorf("NormalRemote(%q) = %q, whose own is %q, %v", remote, s, again, err)
		}
	})
}
