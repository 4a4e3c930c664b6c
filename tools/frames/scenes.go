package main

// scenes are the frames of the docs. Each waits for what shows that its data
// has come.
var scenes = []scene{
	{name: "home", title: "kb: who uses what, and what waits", steps: []step{opened}},
	{name: "home-light", title: "kb on a light terminal", theme: "light", steps: []step{opened}},
	{name: "home-small", title: "kb on 60 columns", width: 60, height: 20, steps: []step{{wait: `Home`}}},
	{name: "profiles", title: "kb: profiles, their rules and policy", steps: []step{opened, {keys: []string{"2"}, wait: `\[2 Profiles\](?s:.*)oss`}, {keys: []string{"j"}, wait: `Policy of work(?s:.*)deny`}}},
	{name: "logins", title: "kb: logins and their state", steps: []step{opened, {keys: []string{"3"}, wait: `\[3 Logins\](?s:.*)openai`}}},
	{name: "providers", title: "kb: the services that it knows", steps: []step{opened, {keys: []string{"4"}, wait: `\[4 Providers\](?s:.*)airtable`}}},
	{name: "audit", title: "kb: who used what, as it happens", steps: []step{opened, {keys: []string{"5"}, wait: `\[5 Audit\](?s:.*)github\.com`}}},
	{name: "approvals", title: "kb: a request waits for a person", steps: []step{opened, {keys: []string{"6"}, wait: `\[6 Approvals(?s:.*)POST`}}},
	{name: "doctor", title: "kb: what is well and what is not", steps: []step{opened, {keys: []string{"7"}, wait: `\[7 Doctor\]`}}},
	{name: "vault", title: "kb: the vault, its devices and its history", steps: []step{opened, {keys: []string{"8"}, wait: `\[8 Vault\](?s:.*)laptop`}}},
	{name: "keys", title: "kb: every key that works here", steps: []step{opened, {keys: []string{"?"}, wait: `(?i)help|keys`}}},
	{name: "first-run", title: "kb, where it has never run", home: empty, steps: []step{{wait: `no vault`}}},
}

// opened is the dashboard with the world's vault and session in it.
var opened = step{wait: `vault open +1 session +1 waiting\s+\[1 Home\]`}
