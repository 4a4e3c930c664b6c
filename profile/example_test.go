package profile_test

import (
	"fmt"

	"kb/profile"
)

func ExampleNormalRemote() {
	for _, remote := range []string{
		"git@github.com:acme/api.git",
		"https://me@github.com/acme/api/",
		"ssh://git@ssh.github.com:443/acme/api.git",
	} {
		n, err := profile.NormalRemote(remote)
		fmt.Println(n, err)
	}
	// Output:
	// github.com/acme/api <nil>
	// github.com/acme/api <nil>
	// github.com/acme/api <nil>
}

func ExampleResolve() {
	profiles := []profile.Profile{{Name: "work"}, {Name: "oss"}}
	rules := []profile.Rule{
		{ID: "r1", Profile: "work", Remote: "github.com/acme/*"},
		{ID: "r2", Profile: "oss", Dir: "~/oss/**"},
	}
	m, err := profile.Resolve(profile.Query{
		Home: "/home/me",
		Workspace: profile.Workspace{
			Dir: "/home/me/oss/api", Root: "/home/me/oss/api", Primary: "origin",
			Remotes: []profile.Remote{{Name: "origin", NormalResolved: "github.com/acme/api"}},
		},
	}, profiles, rules)
	fmt.Println(m.Profile, err)
	fmt.Println(m.Reason)
	// Output:
	// work <nil>
	// remote github.com/acme/api matches rule r1 (github.com/acme/*)
}

func ExampleCompileRemotes() {
	remotes := profile.CompileRemotes(profile.Query{User: "me"}, []profile.Rule{
		{ID: "r1", Profile: "work", Remote: "github.com/acme/*"},
	})
	claim, err := remotes.Claim("github.com/acme/api")
	fmt.Println(claim.Profile, err)
	_, err = remotes.Claim("github.com/stranger/x")
	fmt.Println(err)
	// Output:
	// work <nil>
	// no profile matches
}
