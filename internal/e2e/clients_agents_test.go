package e2e

import (
	"net/http"
	"strings"
	"testing"

	"kb/internal/testkit"
)

// task is what the model tells the agent to run: REST and git, as real agents
// do all day.
const task = "curl -sS https://api.github.com/user && git fetch --quiet && echo fetched"

// agentDid wants the agent to have asked the model with the real key, run the
// task as the work identity, and ended with the model's last words; and no
// secret anywhere but where it belongs.
func (d *desk) agentDid(r testkit.Result, model *testkit.Model, key, host, transport string) {
	t := d.t
	t.Helper()
	if r.Code != 0 || !strings.Contains(r.Stdout, model.Last) {
		t.Errorf("the transcript lacks the last words: %s", r.All())
	}
	answers := map[string]int{}
	for _, turn := range model.Turns() {
		answers[turn.Answer]++
		if turn.Credential != key {
			t.Error("a question arrived without the real key")
		}
		if turn.Answer == "command" && turn.Transport != transport {
			t.Errorf("the first question came by %s, want %s", turn.Transport, transport)
		}
		if turn.ToolOutput != "" && (!strings.Contains(turn.ToolOutput, "me-at-acme") || !strings.Contains(turn.ToolOutput, "fetched")) {
			t.Errorf("the agent's shell printed %q", turn.ToolOutput)
		}
	}
	if answers["command"] == 0 || answers["last words"] == 0 {
		t.Fatalf("the model was not asked twice: %+v\n%s", model.Turns(), r.All())
	}
	d.arrived("api.github.com", d.workToken)
	d.arrived(host, key)
	fetched := false
	for _, a := range d.git.Accesses() {
		// An agent fetches what else it likes from there (codex: its plugins),
		// as the session's identity and no other.
		if a.Token != d.workToken {
			t.Errorf("%s arrived as %q", a.Path, a.Login)
		}
		fetched = fetched || a.Repository == "acme/api"
	}
	if !fetched {
		t.Error("no git fetch arrived")
	}

	own := map[string]string{host: key, "api.github.com": d.workToken, "github.com": d.workToken}
	secrets := []string{d.workToken, d.ossToken, d.openaiKey, d.anthropicKey, d.stripeKey}
	oracle := testkit.NewOracle(secrets...)
	oracle.Control(t, secrets...)
	oracle.Requests(d.w.Requests(), func(r testkit.Request) bool { return own[r.Origin] != "" && r.Credential() == own[r.Origin] })
	if err := oracle.Tree(d.home.Dir); err != nil {
		t.Error(err)
	}
	for _, f := range oracle.Findings() {
		t.Error(f)
	}
}

func TestClientClaudeCode(t *testing.T) {
	d := newDesk(t)
	claude := testkit.NPM(t, "@anthropic-ai/claude-code-linux-"+npmArch()+"/claude")
	d.anthropic.Command = task
	r := d.exec(d.work, []string{
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_TELEMETRY=1", "DISABLE_AUTOUPDATER=1", "DISABLE_ERROR_REPORTING=1",
	}, claude, "-p", "--model", "sonnet", "--allowedTools", "Bash", "--", "do the task")
	d.agentDid(r, &d.anthropic.Model, d.anthropicKey, "api.anthropic.com", "POST")
}

// codex speaks WebSocket to the API, and falls back to POST where a gateway
// does not.
func TestClientCodex(t *testing.T) {
	triple := map[string]string{"x64": "x86_64", "arm64": "aarch64"}[npmArch()] + "-unknown-linux-musl"
	for _, transport := range []string{"WebSocket", "POST"} {
		t.Run(transport, func(t *testing.T) {
			d := newDesk(t)
			codex := testkit.NPM(t, "@openai/codex-linux-"+npmArch()+"/vendor/"+triple+"/bin/codex")
			d.openai.Command = task
			d.openai.NoWebSocket = transport == "POST"
			// Its model list comes from there: a 404 at once instead of a time-out.
			d.w.Serve("chatgpt.com", testkit.OriginConfig{Handler: http.NotFoundHandler()})
			r := d.exec(d.work, nil, codex, "exec", "--dangerously-bypass-approvals-and-sandbox",
				"-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false", "do the task")
			d.agentDid(r, &d.openai.Model, d.openaiKey, "api.openai.com", transport)
		})
	}
}
