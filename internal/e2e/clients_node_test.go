package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/testkit"
)

// nodes are the versions that kb promises: 20 obeys no proxy variable at all,
// 22 and 24 obey NODE_USE_ENV_PROXY except in agents that a client makes.
func nodes(t *testing.T, each func(t *testing.T, node string)) {
	t.Helper()
	for _, version := range []string{"v20.", "v22.", "v24."} {
		t.Run("node "+version[1:3], func(t *testing.T) {
			var node string
			switch version {
			case "v20.":
				node = need(t, "node")
			default:
				node = testkit.NPM(t, "node"+version[1:3]+"-linux-"+npmArch()+"/bin/node")
			}
			if got := testkit.Run(t, "/", []string{"PATH=" + os.Getenv("PATH")}, node, "--version").Stdout; !strings.HasPrefix(got, version) {
				t.Skipf("%s is %s, not %s", node, strings.TrimSpace(got), version)
			}
			each(t, node)
		})
	}
}

// script puts an ES module where it finds the installed packages.
func (d *desk) script(source string) string {
	d.t.Helper()
	dir := filepath.Join(d.home.Dir, "script")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Symlink(testkit.NPMDir(d.t), filepath.Join(dir, "node_modules")); err != nil && !os.IsExist(err) {
		d.t.Fatal(err)
	}
	file := filepath.Join(dir, "main.mjs")
	if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return file
}

func TestClientNode(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct{ name, source string }{
		{"fetch", `
for (let i = 0; i < 3; i++) {
  const r = await fetch('https://api.github.com/user', { headers: { authorization: 'Bearer ' + process.env.GITHUB_TOKEN } });
  if (i == 2) console.log((await r.json()).login); else await r.text();
}`},
		{"https, global agent", `
import https from 'node:https';
https.get('https://api.github.com/user', { headers: { 'user-agent': 'x' } }, async (r) => {
  let s = ''; for await (const c of r) s += c; console.log(JSON.parse(s).login);
});`},
		{"https, agent of its own", `
import { Agent, request } from 'node:https';
const agent = new Agent({ keepAlive: true, maxSockets: 1 });
const once = () => new Promise((ok, no) => request({ host: 'api.github.com', path: '/user', agent }, async (r) => {
  let s = ''; for await (const c of r) s += c; ok(JSON.parse(s).login);
}).on('error', no).end());
await once(); await once(); console.log(await once()); agent.destroy();`},
		{"https, no agent", `
import https from 'node:https';
https.get({ host: 'api.github.com', path: '/user', agent: false }, async (r) => {
  let s = ''; for await (const c of r) s += c; console.log(JSON.parse(s).login);
});`},
	} {
		t.Run(c.name, func(t *testing.T) {
			nodes(t, func(t *testing.T, node string) {
				d.next(t)
				d.says(nil, []string{node, d.script(c.source)}, "me-at-acme\n")
				d.arrived("api.github.com", d.workToken)
			})
		})
	}
}

func TestClientNodePackages(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct {
		name, file, source, want string
		host                     string
		credential               func(*desk) string
	}{
		{"openai", "openai/package.json", `
import OpenAI from 'openai';
const client = new OpenAI();
const r = await client.responses.create({ model: 'gpt', input: 'hi' });
let streamed = 0;
for await (const e of await client.responses.create({ model: 'gpt', input: 'hi', stream: true })) streamed++;
console.log(r.output_text, streamed >= 4);`, "last words of gpt true\n", "api.openai.com", func(d *desk) string { return d.openaiKey }},
		{"anthropic", "@anthropic-ai/sdk/package.json", `
import Anthropic from '@anthropic-ai/sdk';
const client = new Anthropic();
const ask = { model: 'claude', max_tokens: 9, messages: [{ role: 'user', content: 'hi' }] };
const r = await client.messages.create(ask);
console.log(r.content[0].text, await client.messages.stream(ask).finalText());`, "last words of claude last words of claude\n", "api.anthropic.com", func(d *desk) string { return d.anthropicKey }},
		{"stripe", "stripe/package.json", `
import Stripe from 'stripe';
const stripe = new Stripe(process.env.STRIPE_SECRET_KEY, { telemetry: false });
const b = await stripe.balance.retrieve();
console.log(b.available[0].amount);`, "4200\n", "api.stripe.com", func(d *desk) string { return d.stripeKey }},
		{"octokit", "@octokit/rest/package.json", `
import { Octokit } from '@octokit/rest';
const octokit = new Octokit({ auth: process.env.GITHUB_TOKEN });
const me = await octokit.rest.users.getAuthenticated();
const issue = await octokit.rest.issues.create({ owner: 'acme', repo: 'api', title: 'x' });
console.log(me.data.login, issue.data.user.login);`, "me-at-acme me-at-acme\n", "api.github.com", func(d *desk) string { return d.workToken }},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.NPM(t, c.file)
			nodes(t, func(t *testing.T, node string) {
				d.next(t)
				d.says(nil, []string{node, d.script(c.source)}, c.want)
				d.arrived(c.host, c.credential(d))
			})
		})
	}
}
