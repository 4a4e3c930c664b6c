package tui

import (
	"time"

	"kb/internal/audit"
)

// acme is a backend with what the mock-ups show.
func acme() *fake {
	day := 24 * time.Hour
	return &fake{
		standing: Standing{State: VaultOpen, Dir: "/home/sam/src/acme/api", Profile: "work", Why: "remote github.com/acme/api matches rule r1"},
		sessions: []Session{
			{
				ID: "7f3a90c1", Profile: "work", Agent: "claude", Dir: "/home/sam/src/acme/api", Remote: "github.com/acme/api", Reason: "remote github.com/acme/api matches github.com/acme/*",
				Isolation: "locked", Proxy: "127.0.0.1:43771", PID: 41200, Child: 41213, Started: at.Add(-62 * time.Minute), Requests: 412, Injected: 88,
				Hosts: []Host{{"api.github.com", "github", "work"}, {"api.openai.com", "openai", "work"}, {"www.googleapis.com", "google", "work"}},
				Waiting: []Request{{
					ID: "a1b2c3", Session: "7f3a90c1", Profile: "work", Agent: "claude", Provider: "linear", Method: "POST", Host: "api.linear.app", Port: 443, Path: "/graphql",
					Asked: at.Add(-7 * time.Second), Deadline: at.Add(41 * time.Second), Body: 1200,
				}},
			},
			{ID: "81d20b7e", Profile: "oss", Agent: "codex", Dir: "/home/sam/src/oss/tinyjson", Isolation: "hardened", Child: 41999, Started: at.Add(-9 * time.Minute), Requests: 57, Injected: 9, Denied: 1},
			{ID: "0c55e1aa", Profile: "work", Agent: "claude", Dir: "/home/sam/src/acme/infra", Isolation: "locked", Started: at.Add(-3 * time.Hour), Requests: 7, Crashed: true},
		},
		logins: []Login{
			{LoginKey: LoginKey{"oss", "github", ""}, Account: "sam-oss", Kind: "token", State: "ok"},
			{LoginKey: LoginKey{"work", "github", ""}, Account: "sam", Kind: "oauth device", State: "ok", OAuth: true, Renews: true, DeviceOnly: true, Expires: at.Add(7*time.Hour + 58*time.Minute), Next: at.Add(7*time.Hour + 53*time.Minute)},
			{LoginKey: LoginKey{"work", "google", "drive"}, Account: "sam@acme.example", Kind: "oauth code", State: "refreshing", OAuth: true, Renews: true, DeviceOnly: true, Expires: at.Add(4 * time.Second)},
			{
				LoginKey: LoginKey{"work", "linear", ""}, Account: "sam@acme.example", Kind: "oauth code", State: "needs login", OAuth: true, Renews: true, DeviceOnly: true,
				Reason: "the refresh token was revoked (invalid_grant)", Fix: "kb login linear -p work", Since: at.Add(-14 * time.Minute), Scopes: []string{"read", "write"},
				History: []Past{{When: at.Add(-14 * time.Minute), What: "refresh failed"}, {When: at.Add(-74 * time.Minute), What: "refreshed"}},
			},
			{LoginKey: LoginKey{"work", "openai", ""}, Kind: "api key", State: "ok", Since: at.Add(-40 * day)},
		},
		events: acmeEvents(),
	}
}

// acmeEvents are a few requests of the two sessions.
func acmeEvents() []audit.Event {
	var events []audit.Event
	seq := map[string]uint64{}
	add := func(before time.Duration, e audit.Event) {
		seq[e.Session]++
		e.Seq, e.Time = seq[e.Session], at.Add(-before)
		events = append(events, e)
	}
	add(62*time.Minute, audit.Event{Session: "7f3a90c1", Phase: audit.PhaseStart, Profile: "work", Detail: "claude in /home/sam/src/acme/api"})
	openai := audit.Event{Session: "7f3a90c1", Request: 1, Phase: audit.PhaseIntent, Profile: "work", Provider: "openai", Action: "inject", Method: "POST", Host: "api.openai.com", Port: 443, Path: "/v1/responses", Reason: "the only login of profile work with openai"}
	add(14*time.Second, openai)
	tunnel := audit.Event{Session: "7f3a90c1", Request: 2, Phase: audit.PhaseTunnel, Profile: "work", Action: "tunnel", Method: "CONNECT", Host: "cdn.jsdelivr.net", Port: 443, Reason: "no login of this session has a rule for the host"}
	add(13*time.Second, tunnel)
	openai.Phase, openai.Reason, openai.Status, openai.Sent, openai.Received, openai.Millis = audit.PhaseOutcome, "", 200, 1200, 34_000, 1820
	add(12*time.Second, openai)
	add(7*time.Second, audit.Event{Session: "7f3a90c1", Request: 3, Phase: audit.PhaseAsk, Profile: "work", Provider: "linear", Action: "ask", Detail: "waits as a1b2c3", Method: "POST", Host: "api.linear.app", Port: 443, Path: "/graphql", Reason: "ask POST at linear"})
	add(2*time.Second, audit.Event{Session: "81d20b7e", Request: 1, Phase: audit.PhaseRefused, Profile: "oss", Action: "deny", Method: "POST", Host: "api.stripe.com", Port: 443, Path: "/v1/charges", Status: 403, Reason: "no login of profile oss is for the host", Error: "no_login"})
	github := audit.Event{Session: "7f3a90c1", Request: 4, Phase: audit.PhaseIntent, Profile: "work", Provider: "github", Action: "inject", Method: "GET", Host: "api.github.com", Port: 443, Path: "/repos/acme/api", Reason: "repository github.com/acme/api is of profile work"}
	add(time.Second, github)
	github.Phase, github.Reason, github.Status, github.Sent, github.Received, github.Millis = audit.PhaseOutcome, "", 200, 310, 5120, 182
	add(818*time.Millisecond, github)
	return events
}
