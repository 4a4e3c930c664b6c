package endurance

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kb/internal/testkit"
)

// The soak: two devices with three sessions each, whose agents ask an API
// without a pause, with access tokens that live three seconds and refresh
// tokens that can be used once (the second use ends the whole login). Each
// second one session is killed at random, kill -9, and another started in its
// place.
const (
	soakSessions = 3 // of each device
	soakLife     = 3 * time.Second
	soakShort    = 90 * time.Second // as a part of CI
	soakWhole    = 20 * time.Minute // with KB_THOROUGH=1
	soakClient   = "soak"
)

// soakAgent asks without a pause and writes down each status, until its proxy
// is gone; for half an hour at most, should nobody be there to end it.
const soakAgent = `end=$(($(date +%s) + 1800))
while [ "$(date +%s)" -lt "$end" ] && code=$(curl -s -o /dev/null -m 20 -w '%{http_code}' -H "Authorization: Bearer $SOAK_TOKEN" https://api.soak.example/me); do
	printf '%s\n' "$code" >>"$1"
	sleep 0.1
done`

const soakDefinition = `name = "soak"
title = "Soak"
docs = "https://soak.example/docs"
hosts = ["api.soak.example"]
env = { SOAK_TOKEN = "soak_{random36}" }

[[login]]
method = "oauth"
title = "account"
flow = "oauth"
client = "own"
page = "https://soak.example/apps"
scopes = ["openid", "offline_access"]
refresh = "rotate"
[login.server]
authorization = "https://auth.soak.example/auth"
token = "https://auth.soak.example/token"
revocation = "https://auth.soak.example/token/revocation"
client_auth = "none"
authorize = { prompt = "consent" }
source = "https://soak.example/docs"

[[inject]]
hosts = ["api.soak.example"]
header = { Authorization = "Bearer {token}" }
source = "https://soak.example/docs"
`

// soakDevice is one of the two machines.
type soakDevice struct {
	*testing.T
	kb      string
	home    *testkit.Home
	name    string
	started atomic.Int64
	killed  int
}

func (d *soakDevice) run(stdin string, args ...string) string {
	d.Helper()
	r := testkit.Exec(d.T, testkit.Command{Dir: d.home.Dir, Env: d.home.Env, Args: append([]string{d.kb}, args...), Stdin: strings.NewReader(stdin)})
	if r.Code != 0 {
		d.Fatalf("%s: kb %s: %s", d.name, strings.Join(args, " "), r.All())
	}
	return r.Stdout
}

// start starts a session and its agent, which writes to a log of its own.
func (d *soakDevice) start(ctx context.Context) *exec.Cmd {
	d.Helper()
	log := filepath.Join(d.home.Dir, fmt.Sprintf("status-%d", d.started.Add(1)))
	cmd := exec.CommandContext(ctx, d.kb, "exec", "-p", "work", "--", "sh", "-c", soakAgent, "agent", log)
	cmd.Dir, cmd.Env = d.home.Dir, d.home.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		d.Fatal(err)
	}
	return cmd
}

// statuses counts what the device's agents were answered.
func (d *soakDevice) statuses() map[string]int {
	d.Helper()
	counts := map[string]int{}
	logs, err := filepath.Glob(filepath.Join(d.home.Dir, "status-*"))
	if err != nil {
		d.Fatal(err)
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			d.Fatal(err)
		}
		for _, code := range strings.Fields(string(text)) {
			counts[code]++
		}
	}
	return counts
}

// random is a number below n.
func random(n int) int {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n))
}

func TestSoakOfRefreshes(t *testing.T) {
	if os.Getenv("KB_E2E") == "" {
		t.Skip("skipped: takes minutes; set KB_E2E=1")
	}
	length := soakShort
	if os.Getenv("KB_THOROUGH") != "" {
		length = soakWhole
	}
	w := testkit.Namespace(t)
	address := netip.MustParseAddr("203.0.113.200")
	w.Resolver().Set("auth.soak.example", address)
	server := testkit.StartOIDC(t, w.CA, testkit.OIDCConfig{
		Addr: netip.AddrPortFrom(address, 443).String(), Issuer: "https://auth.soak.example", Life: soakLife,
		Clients: []testkit.OIDCClient{{ID: soakClient}},
	})
	w.Serve("api.soak.example", testkit.OriginConfig{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if valid, err := server.Valid(r.Context(), token); !ok || err != nil || !valid {
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(rw, "hello")
	})})

	kb := testkit.BuildKB(t)
	devices := []*soakDevice{{T: t, kb: kb, home: testkit.NewHome(t), name: "laptop"}, {T: t, kb: kb, home: testkit.NewHome(t), name: "desktop"}}
	joinSoak(t, devices[0], devices[1])
	for _, d := range devices {
		soakLogin(d, server)
	}
	before := server.Count("refresh_token")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type slot struct {
		device *soakDevice
		cmd    *exec.Cmd
	}
	var slots []*slot
	for _, d := range devices {
		for range soakSessions {
			slots = append(slots, &slot{d, d.start(ctx)})
		}
	}
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	kills := 0
	for time.Since(began) < length {
		<-tick.C
		time.Sleep(time.Duration(random(900)) * time.Millisecond)
		s := slots[random(len(slots))]
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.device.killed++
		kills++
		s.cmd = s.device.start(ctx)
	}
	took := time.Since(began)
	for _, s := range slots {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
	}
	var ending sync.WaitGroup
	for _, s := range slots {
		ending.Go(func() { _ = s.cmd.Wait() })
	}
	ending.Wait()
	refreshes := server.Count("refresh_token") - before

	total := 0
	for _, d := range devices {
		counts := d.statuses()
		t.Logf("%s: %d kills, answers %v", d.name, d.killed, counts)
		for code, n := range counts {
			total += n
			if code != "200" {
				t.Errorf("%s: %d answers %s", d.name, n, code)
			}
		}
		// The family is alive: it can be refreshed once more.
		d.run("", "refresh", "soak", "-p", "work")
		t.Logf("%s: %s", d.name, d.run("", "status"))
	}
	lifetimes := 2 * int(took/soakLife)
	t.Logf("%v: %d requests, %d kills, %d refreshes; %d lifetimes of two devices", took.Round(time.Second), total, kills, refreshes, lifetimes)
	if refreshes > lifetimes+kills {
		t.Errorf("%d refreshes, more than %d lifetimes and %d kills", refreshes, lifetimes, kills)
	}
	if total < kills {
		t.Errorf("only %d requests were made", total)
	}
	for _, r := range server.Requests() {
		if r.Error != "" {
			t.Errorf("the token endpoint answered %s with %s", r.Grant, r.Error)
		}
	}
}

// joinSoak makes one vault that both devices hold.
func joinSoak(t *testing.T, first, second *soakDevice) {
	t.Helper()
	vault := filepath.Join(t.TempDir(), "vault.age")
	definition := filepath.Join(first.home.Dir, "soak.toml")
	if err := os.WriteFile(definition, []byte(soakDefinition), 0o600); err != nil {
		t.Fatal(err)
	}
	first.run("", "init", "--device", "laptop", "--vault", vault)
	first.run("", "profile", "add", "work")
	first.run("", "provider", "add", definition)
	var asked struct{ Request, Fingerprint string }
	first.json(second.run("", "device", "join", "--vault", vault, "--name", "desktop", "--json"), &asked)
	var approved struct{ Code string }
	first.json(first.run("", "device", "approve", asked.Request, "--fingerprint", asked.Fingerprint, "--json"), &approved)
	second.run("", "device", "join", "--code", approved.Code)
}

// json reads what a command printed.
func (d *soakDevice) json(text string, v any) {
	d.Helper()
	if err := json.Unmarshal([]byte(text), v); err != nil {
		d.Fatalf("%s: %v in %q", d.name, err, text)
	}
}

// soakLogin logs a device in as a person would, with the test as browser.
func soakLogin(d *soakDevice, server *testkit.OIDC) {
	d.Helper()
	cmd := exec.CommandContext(d.Context(), d.kb, "login", "soak", "-p", "work", "--no-browser", "--no-verify", "--client-id", soakClient)
	cmd.Dir, cmd.Env = d.home.Dir, d.home.Env
	var out bytes.Buffer
	stderr, err := cmd.StderrPipe()
	if err != nil {
		d.Fatal(err)
	}
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		d.Fatal(err)
	}
	lines := bufio.NewScanner(io.TeeReader(stderr, &out))
	for lines.Scan() {
		if i := strings.Index(lines.Text(), "https://auth.soak.example/"); i >= 0 {
			soakVisit(d, server, strings.Fields(lines.Text()[i:])[0])
			break
		}
	}
	_, _ = io.Copy(&out, stderr)
	if err := cmd.Wait(); err != nil {
		d.Fatalf("%s: log in: %v\n%s", d.name, err, out.String())
	}
}

// soakVisit is the person's browser: it grants the login and follows the last
// redirect, to kb.
func soakVisit(d *soakDevice, server *testkit.OIDC, address string) {
	d.Helper()
	to, err := server.Authorize(d.Context(), address, d.name)
	if err != nil {
		d.Fatal(err)
	}
	request, err := http.NewRequestWithContext(d.Context(), http.MethodGet, to, nil)
	if err != nil {
		d.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.Fatal(err)
	}
	response.Body.Close()
}
