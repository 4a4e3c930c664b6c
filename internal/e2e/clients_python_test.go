package e2e

import (
	"testing"

	"kb/internal/testkit"
)

// Debian's python3, whose requests and httpx read different variables for the
// proxy and the CA bundle.
const python = "/usr/bin/python3"

func needPython(t *testing.T, d *desk, module string) {
	t.Helper()
	if r := testkit.Run(t, d.home.Dir, d.home.Env, python, "-c", "import "+module); r.Code != 0 {
		t.Skipf("python3-%s is not installed (internal/e2e/install does it)", module)
	}
}

func TestClientPython(t *testing.T) {
	d := newDesk(t)
	need(t, python)
	for _, c := range []struct{ module, script string }{
		{"requests", `
import os, requests
s = requests.Session()
for _ in range(3):
    r = s.get("https://api.github.com/user", headers={"Authorization": "token " + os.environ["GITHUB_TOKEN"]})
    r.raise_for_status()
r = s.post("https://api.github.com/repos/acme/api/issues", data=(b"{" for _ in range(3)))
assert r.status_code == 201, r.text
print(s.get("https://api.github.com/user").json()["login"])`},
		{"httpx", `
import httpx
with httpx.Client() as c:
    r = c.get("https://api.github.com/user")
    r.raise_for_status()
    print(r.json()["login"])`},
		{"urllib.request", `
import json, urllib.request
with urllib.request.urlopen("https://api.github.com/user") as r:
    print(json.load(r)["login"])`},
	} {
		t.Run(c.module, func(t *testing.T) {
			d.next(t)
			needPython(t, d, c.module)
			d.says(nil, []string{python, "-c", c.script}, "me-at-acme\n")
			d.arrived("api.github.com", d.workToken)
		})
	}
}

// httpx is what the Python SDKs of the model vendors are built on: a stream of
// server-sent events arrives through it event by event.
func TestClientPythonStreams(t *testing.T) {
	d := newDesk(t)
	needPython(t, d, "httpx")
	d.says(nil, []string{python, "-c", `
import httpx, os
body = {"model": "m", "stream": True, "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]}
key = os.environ["ANTHROPIC_API_KEY"]
assert key.startswith("sk-ant-api03-")
with httpx.stream("POST", "https://api.anthropic.com/v1/messages", json=body, headers={"x-api-key": key}) as r:
    r.raise_for_status()
    for line in r.iter_lines():
        if line.startswith("event:"): print(line.strip())
        if "last words" in line: print("said")`}, "event: message_start", "said", "event: message_stop")
	d.arrived("api.anthropic.com", d.anthropicKey)
}
