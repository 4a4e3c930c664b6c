package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"kb/internal/testkit"
)

// A page is typed as it stands: the lines of its sh blocks, each on a terminal
// of its own. The words behind "sh" say where:
//
//	sh                 the first machine, laptop
//	sh desk            another machine, with a home of its own
//	sh laptop stow     the laptop of another reader, who begins anew
//
// A command that ends in " &" goes on in a terminal of its own while the others of
// its block are typed; kb approve and kb deny then wait for what it asks, and the
// block ends when it does. A comment may say how a command ends ("# exit 4"). A text block behind an sh
// block is what its commands show; "…" stands for what differs each time.
type page struct {
	t       *testing.T
	kb      string
	readers map[string]*reader
	git     *testkit.Git
	users   map[string]string
	typed   int
	missing []string // lines that were not typed, and why

	world    *testkit.World
	programs map[string]string // that each machine has besides, by name: shell scripts
	environ  []string          // that each machine has besides
	copied   map[string]string // paths of the page, and where they are
}

// typingLimit is for one command, some of which ask a provider.
const typingLimit = time.Minute

// needed are the programs without which a page goes on.
var needed = map[string]bool{"age": true, "python3": true, "ssh-keygen": true}

// reader is who follows a page, on machines and with a remote of their own.
type reader struct {
	p        *page
	t        *testing.T
	remote   string
	machines map[string]*machine
	// What the screens showed, that a person would copy.
	request, fingerprint, code, paper string
	tokens                            []string // given to logins
	session, asked                    string   // that a command which goes on has, and what it asks
	// prepare makes what the page takes for granted when it goes to a folder.
	prepare func(m *machine, dir string)
}

type machine struct {
	home    *testkit.Home
	env     []string
	dir     string
	aliases []string
	bin     string
}

// ownProvider defines a service that kb does not ship.
const ownProvider = `name = "acme-forge"
title = "Acme Forge"
docs = "https://docs.forge.acme.example/auth"
sources = ["https://docs.forge.acme.example/auth"]
hosts = ["api.forge.acme.example"]
env = { ACME_TOKEN = "acme_{random36}" }

[[inject]]
hosts = ["api.forge.acme.example"]
header = { Authorization = "Bearer {token}" }
source = "https://docs.forge.acme.example/auth"

[[login]]
method = "token"
[[login.field]]
name = "token"
label = "Access token"
secret = true
`

// block is a fenced block of a page.
type block struct {
	line    int
	machine string
	reader  string
	text    []string
	shows   []string
}

func newPage(t *testing.T) *page {
	t.Helper()
	w := testkit.Namespace(t)
	p := &page{t: t, kb: testkit.BuildKB(t), readers: map[string]*reader{}, git: testkit.NewGit(t), users: map[string]string{}, world: w}
	p.git.Users = p.users
	w.Serve("github.com", testkit.OriginConfig{Handler: p.git})
	w.Serve("api.github.com", testkit.OriginConfig{Handler: &testkit.GitHub{Users: p.users}})
	return p
}

// token is a new one, of the account that the account's name says.
func (p *page) token(account string) string {
	token := testkit.NewCanary("ghp_", 36)
	p.users[token] = account
	return token
}

func (p *page) reader(t *testing.T, name string) *reader {
	t.Helper()
	if p.readers[name] == nil {
		remote := filepath.Join(testkit.NewHome(p.t).Dir, "dotfiles.git")
		r := &reader{p: p, t: t, remote: remote, machines: map[string]*machine{}}
		p.readers[name] = r
		if done := testkit.Exec(t, testkit.Command{Env: os.Environ(), Args: []string{"git", "init", "-q", "--bare", "-b", "main", remote}}); done.Code != 0 {
			t.Fatal(done.All())
		}
	}
	p.readers[name].t = t
	return p.readers[name]
}

// machine is a machine of the reader's: one that has git, and knows who the
// reader is.
func (r *reader) machine(name string) *machine {
	r.t.Helper()
	if m := r.machines[name]; m != nil {
		return m
	}
	home := testkit.NewHome(r.p.t)
	m := &machine{home: home, dir: home.Dir, bin: filepath.Join(home.Dir, "bin")}
	m.env = home.With("PATH="+m.bin+":"+filepath.Dir(r.p.kb)+":"+os.Getenv("PATH"), "GIT_PAGER=cat", "GIT_TERMINAL_PROMPT=0")
	// An agent of the name that the pages use, and a job.
	m.write(r.t, "bin/claude", "#!/bin/sh\necho agent of $KB_PROFILE\n")
	m.write(r.t, "bin/make", "#!/bin/sh\necho made as $KB_PROFILE\n")
	for name, script := range r.p.programs {
		m.write(r.t, "bin/"+name, "#!/bin/sh\n"+script+"\n")
	}
	m.env = append(m.env, r.p.environ...)
	m.write(r.t, "forge.toml", ownProvider)
	m.write(r.t, ".gitconfig", "[user]\n\tname = Me\n\temail = me@home.example\n[init]\n\tdefaultBranch = main\n")
	r.machines[name] = m
	return m
}

// write puts a file into the machine's home.
func (m *machine) write(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join(m.home.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// readPage is the sh blocks of a page, in order, each with what it shows.
func readPage(t *testing.T, path string) []block {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	inside := ""
	for i, line := range strings.Split(string(text), "\n") {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && inside != "":
			inside = ""
		case fence:
			words := append(strings.Fields(info), "", "", "")
			inside = words[0] + " "
			if words[0] == "sh" {
				b := block{line: i + 1, machine: words[1], reader: words[2]}
				if b.machine == "" {
					b.machine = "laptop"
				}
				blocks = append(blocks, b)
			}
		case strings.TrimSpace(line) == "":
		case inside == "sh ":
			b := &blocks[len(blocks)-1]
			b.text = append(b.text, line)
		case inside == "text " && len(blocks) > 0:
			b := &blocks[len(blocks)-1]
			b.shows = append(b.shows, line)
		}
	}
	return blocks
}

var (
	exitComment  = regexp.MustCompile(`# exit (\d+)`)
	shownRequest = regexp.MustCompile(`kb-join-1:[A-Za-z0-9_-]+\.[0-9a-f]{8}`)
	shownWords   = regexp.MustCompile(`fingerprint ((?:[a-z]{5}-){4}[a-z]{5})`)
	shownCode    = regexp.MustCompile(`(?m)^((?:[a-z]{5} ){5}[a-z]{5})\r?$`)
	shownSession = regexp.MustCompile(`(?m)^\W*([0-9a-f]{8})\s+.*live`)
	shownAsked   = regexp.MustCompile(`run kb approve ([0-9a-f]{6})`)
	shownPaper   = regexp.MustCompile(`AGE-SECRET-KEY-1[A-Z0-9]+`)
)

// do types a block on its machine.
func (r *reader) do(b block) {
	t := r.t
	t.Helper()
	m := r.machine(b.machine)
	var screen strings.Builder
	var others []<-chan string // what commands that go on will have shown
	for _, line := range b.text {
		command, comment, _ := strings.Cut(line, " #")
		command = strings.TrimSpace(command)
		want := 0
		if found := exitComment.FindStringSubmatch("#" + comment); found != nil {
			fmt.Sscan(found[1], &want)
		}
		if strings.HasPrefix(command, "alias ") {
			m.aliases = append(m.aliases, command)
			continue
		}
		if folder, ok := strings.CutPrefix(command, "cd "); ok {
			folder, rest, more := strings.Cut(folder, " && ")
			m.dir = filepath.Join(m.home.Dir, strings.TrimPrefix(folder, "~/"))
			if _, err := os.Stat(m.dir); err != nil && r.prepare != nil {
				r.prepare(m, m.dir)
			}
			if !more {
				continue
			}
			command = rest
		}
		if program := strings.Fields(command)[0]; needed[program] {
			if _, err := exec.LookPath(program); err != nil {
				r.p.missing = append(r.p.missing, program+" is not installed: not typed: "+command)
				continue
			}
		}
		if command, goesOn := strings.CutSuffix(command, " &"); goesOn {
			r.p.typed++
			shown := make(chan string, 1)
			go func() {
				out, _ := r.typeIn(m, command)
				shown <- out
			}()
			others = append(others, shown)
			r.session = r.await(m, "kb session ls", shownSession)
			continue
		}
		if answer := strings.HasPrefix(command, "kb approve") || strings.HasPrefix(command, "kb deny"); answer && len(others) > 0 {
			r.asked = r.await(m, "kb status", shownAsked)
		}
		if command == "kb" {
			command = "stty rows 30 cols 100; TERM=xterm-256color kb" // a terminal that can show the dashboard
		}
		out, code := r.typeIn(m, r.fill(command))
		r.p.typed++
		out = strings.ReplaceAll(out, m.home.Dir, "~")
		if code != want {
			t.Fatalf("line %d, on %s: $ %s\n%s\nended with %d, want %d", b.line, b.machine, command, out, code, want)
		}
		t.Logf("%s$ %s\n%s", b.machine, command, out)
		screen.WriteString(out)
		r.copy(out)
	}
	for _, shown := range others {
		screen.WriteString(<-shown)
	}
	seen := strings.Join(strings.Fields(screen.String()), " ")
	for _, line := range b.shows {
		pattern := regexp.QuoteMeta(strings.Join(strings.Fields(line), " "))
		pattern = strings.ReplaceAll(pattern, "…", ".*?")
		if !regexp.MustCompile(pattern).MatchString(seen) {
			t.Errorf("line %d, on %s: the commands do not show %q:\n%s", b.line, b.machine, line, screen.String())
		}
	}
}

// await repeats a command until it shows what a command that goes on is to bring,
// and returns that.
func (r *reader) await(m *machine, command string, want *regexp.Regexp) string {
	t := r.t
	t.Helper()
	for end := time.Now().Add(typingLimit); ; time.Sleep(20 * time.Millisecond) {
		done := testkit.Exec(t, testkit.Command{Dir: m.dir, Env: m.env, Args: strings.Fields(command)})
		if found := want.FindStringSubmatch(done.All()); found != nil {
			return found[1]
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not show %s:\n%s", command, want, done.All())
		}
	}
}

// fill puts in what a person would have copied from a screen.
func (r *reader) fill(command string) string {
	for _, p := range []struct{ shown, is string }{
		{`git@host.example:me/dotfiles.git`, r.remote},
		{`'kb-join-1:…'`, "'" + r.request + "'"},
		{`--fingerprint '…'`, "--fingerprint '" + r.fingerprint + "'"},
		{`--code '…'`, "--code '" + r.code + "'"},
		{`stop 1a2b`, "stop " + r.session},
		{` 3fa2c1`, " " + r.asked},
	} {
		command = strings.ReplaceAll(command, p.shown, p.is)
	}
	for shown, is := range r.p.copied {
		command = strings.ReplaceAll(command, shown, is)
	}
	return command
}

func (r *reader) copy(screen string) {
	if found := shownRequest.FindString(screen); found != "" {
		r.request = found
	}
	if found := shownWords.FindStringSubmatch(screen); found != nil {
		r.fingerprint = found[1]
	}
	if found := shownCode.FindStringSubmatch(screen); found != nil {
		r.code = found[1]
	}
	if found := shownPaper.FindString(screen); found != "" {
		r.paper = found
	}
}

// typeIn runs a command on a terminal of its own, answers what it asks, and
// returns what the screen showed and how it ended.
func (r *reader) typeIn(m *machine, command string) (string, int) {
	t := r.t
	t.Helper()
	script := strings.Join(append(append([]string{}, m.aliases...), command), "\n")
	// What waits for an answer that nobody gives ends.
	ctx, cancel := context.WithTimeout(t.Context(), typingLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir, cmd.Env = m.dir, m.env
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	prompts := []struct {
		asks   string
		answer func() string
	}{
		{"token: ", func() string { r.tokens = append(r.tokens, r.p.token("me-at-acme")); return r.tokens[len(r.tokens)-1] }},
		{"client id: ", func() string { return appID }},
		{"client secret", func() string { return "" }},
		{"same fingerprint? [y/N]", func() string { return "y" }},
		{"six words that kb device approve showed: ", func() string { return r.code }},
		{"Recovery key (AGE", func() string { return r.paper }},
		{"[1 Home]", func() string { return "q" }}, // kb alone: the dashboard is left as it is there
		{`Type "older"`, func() string { return "older" }},
		{"passphrase: ", func() string { return "correct horse battery" }},
		{"Once more: ", func() string { return "correct horse battery" }},
		{"[y/N]", func() string { return "y" }},
	}
	var screen strings.Builder
	buf := make([]byte, 4096)
	answered := 0
	for {
		n, err := tty.Read(buf)
		screen.Write(buf[:n])
		for _, p := range prompts {
			if at := strings.Index(strings.ToLower(screen.String()[answered:]), strings.ToLower(p.asks)); at >= 0 {
				answered = screen.Len()
				fmt.Fprintf(tty, "%s\n", p.answer())
				break
			}
		}
		if err != nil { // the terminal ends with its last process
			break
		}
	}
	for _, token := range r.tokens {
		if strings.Contains(screen.String(), token) {
			t.Errorf("%s showed the token", command)
		}
	}
	_ = cmd.Wait()
	return screen.String(), cmd.ProcessState.ExitCode()
}

// TestDevicesPage types docs/devices.md.
func TestDevicesPage(t *testing.T) {
	typePage(t, "../../docs/devices.md", 30)
}

// TestSyncPage types docs/sync.md. Each reader's part is a test of its own; it
// skips where the program that it is named after is not installed.
func TestSyncPage(t *testing.T) {
	typePage(t, "../../docs/sync.md", 40)
}

func typePage(t *testing.T, path string, least int, prepare ...func(*page)) {
	t.Helper()
	needsE2E(t)
	p := newPage(t)
	for _, f := range prepare {
		f(p)
	}
	var order []string
	parts := map[string][]block{}
	for _, b := range readPage(t, path) {
		if parts[b.reader] == nil {
			order = append(order, b.reader)
		}
		parts[b.reader] = append(parts[b.reader], b)
	}
	for _, name := range order {
		t.Run(name, func(t *testing.T) {
			switch name {
			case "chezmoi", "stow", "yadm":
				if _, err := exec.LookPath(name); err != nil {
					t.Skipf("skipped: %s is not installed", name)
				}
			}
			r := p.reader(t, name)
			for _, b := range parts[name] {
				r.do(b)
			}
		})
	}
	for _, why := range p.missing {
		t.Run("line", func(t *testing.T) { t.Skip("skipped: " + why) })
	}
	t.Logf("%d commands", p.typed)
	if p.typed+len(p.missing) < least {
		t.Errorf("only %d commands of %s were typed", p.typed, path)
	}
}
