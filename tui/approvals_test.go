package tui

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// clocked is a board whose clock a test moves.
type clocked struct {
	*board
	time time.Time
}

func newClocked(t *testing.T, f *fake, w, h int) *clocked {
	t.Helper()
	c := &clocked{newBoard(t, f, w, h), at}
	c.m.read = func() time.Time { return c.time }
	return c
}

// pass moves the clock, and lets the dashboard see that.
func (c *clocked) pass(d time.Duration) {
	c.time = c.time.Add(d)
	c.send(ticked{})
	c.m.View()
}

// tell changes the sessions as the backend tells of them.
func (c *clocked) tell(sessions ...Session) {
	c.f.sessions = sessions
	c.run(ask(c.m.ctx, &c.m.world.sessions, c.f.Sessions))
}

// key presses keys as a person does who looks at the screen after each.
func (c *clocked) key(keys ...string) {
	for _, k := range keys {
		c.press(k)
		c.m.View()
	}
}

func (c *clocked) said(t *testing.T, want string) {
	t.Helper()
	if got := c.m.notices.note; !strings.Contains(got, want) {
		t.Errorf("it says %q, want %q", got, want)
	}
}

func (c *clocked) did(t *testing.T, want ...string) {
	t.Helper()
	if got := c.f.done(); !slices.Equal(got, want) {
		t.Errorf("did %q, want %q", got, want)
	}
}

func request(id, host string) Request {
	return Request{
		ID: id, Session: "7f3a", Profile: "work", Provider: "linear", Login: "sam@acme.example", Method: "POST", Host: host, Port: 443,
		Path: "/graphql", Rule: "ask POST at linear", Policy: "p1234abcd", Agent: "claude", Dir: "~/src/acme/api",
		Body: 1234, Type: "application/json", Asked: at.Add(-79 * time.Second), Deadline: at.Add(41 * time.Second),
	}
}

func waits(requests ...Request) Session {
	return Session{ID: "7f3a", Profile: "work", Agent: "claude", Dir: "~/src/acme/api", Started: at.Add(-time.Hour), Waiting: requests}
}

// asked is a board at the screen with these requests, some time later.
func asked(t *testing.T, w, h int, requests ...Request) *clocked {
	t.Helper()
	c := newClocked(t, &fake{sessions: []Session{waits(requests...)}}, w, h)
	c.key("6")
	c.pass(time.Second)
	return c
}

func TestAnswers(t *testing.T) {
	for key, want := range map[string]string{
		"a": "answer a1 once", "s": "answer a1 session", "d": "answer a1 deny", "D": "answer a1 deny-session",
	} {
		c := asked(t, 100, 30, request("a1", "api.linear.app"))
		c.key(key)
		c.did(t, want)
		c.said(t, "POST api.linear.app/graphql")
		// It is out of the list, and further keys go nowhere.
		c.key(key, "a", "d")
		c.did(t, want)
	}
}

// TestEnterAnswersNothing: neither enter nor any other key than the five does.
func TestEnterAnswersNothing(t *testing.T) {
	c := asked(t, 100, 30, request("a1", "api.linear.app"))
	for r := '!'; r <= '~'; r++ {
		if !strings.ContainsRune("asAdDOq123457890?:/", r) {
			c.key(string(r))
			c.pass(time.Second / 50)
		}
	}
	c.key("enter", "enter", " ", "esc", "tab")
	c.did(t)
}

// TestMenusApproveNothing: what enter does in the menu of "?" and in the palette
// can be everything but an approval, whose own key is the only way. Denying there
// is the control.
func TestMenusApproveNothing(t *testing.T) {
	for _, menu := range []string{"?", ":"} {
		for _, words := range []string{"let this request pass", "let it pass, and all like it", "write a policy line", "approvals.once"} {
			c := asked(t, 100, 30, request("a1", "api.linear.app"))
			c.key(menu, words, "enter")
			c.pass(2 * time.Second)
			c.key("enter")
			c.did(t)
		}
		c := asked(t, 100, 30, request("a1", "api.linear.app"))
		c.key(menu, "refuse this request", "enter")
		c.did(t, "answer a1 deny")
	}
	// From another screen the palette goes there, and no further.
	c := newClocked(t, &fake{sessions: []Session{waits(request("a1", "api.linear.app"))}}, 100, 30)
	c.pass(time.Second)
	c.key(":", "let this request pass", "enter")
	c.pass(2 * time.Second)
	c.did(t)
	if c.m.at != screenApprovals {
		t.Errorf("on screen %d", c.m.at)
	}
}

// TestAttackTheRequestUnderTheCursorIsReplaced: an agent that has its request
// withdrawn and another one made as the person's finger goes down gets no answer
// to the second.
func TestAttackTheRequestUnderTheCursorIsReplaced(t *testing.T) {
	harmless, evil := request("a1", "api.linear.app"), request("b2", "evil.example")
	sameID := evil
	sameID.ID = harmless.ID
	for name, second := range map[string]Request{"another": evil, "under the same id": sameID} {
		t.Run(name, func(t *testing.T) {
			c := asked(t, 100, 30, harmless)
			// Between the drawing of the one and the key: nothing was drawn since.
			c.tell(waits(second))
			c.press("a")
			c.did(t)
			// Though it was drawn at once, nobody has read it.
			c.m.View()
			c.press("a")
			c.did(t)
			c.said(t, "nothing was answered")
			// Who goes on typing waits on, but not for ever.
			for range 4 {
				c.pass(300 * time.Millisecond)
				c.key("a")
			}
			c.did(t)
			c.pass(quiet)
			c.key("a")
			c.did(t, "answer "+second.ID+" once")
		})
	}
}

// TestAnAnswerIsForWhatWasDrawn: however long ago the request was replaced, a
// key counts for what the screen shows.
func TestAnAnswerIsForWhatWasDrawn(t *testing.T) {
	c := asked(t, 100, 30, request("a1", "api.linear.app"))
	c.tell(waits(request("b2", "evil.example")))
	c.time = c.time.Add(time.Minute / 2) // and no frame since
	c.press("a", "d", "s", "D", "A")
	c.did(t)
	c.m.View()
	c.press("a")
	c.did(t, "answer b2 once")
}

// TestGraceOfTheNext: the one after the one that was answered, and the one that
// comes when nothing waited, have not been read.
func TestGraceOfTheNext(t *testing.T) {
	c := asked(t, 100, 30, request("a1", "api.linear.app"), request("b2", "evil.example"))
	c.key("a", "a", "s", "d")
	c.did(t, "answer a1 once")
	c.pass(quiet)
	c.key("d")
	c.did(t, "answer a1 once", "answer b2 deny")

	c = asked(t, 100, 30)
	c.tell(waits(request("a1", "evil.example")))
	c.m.View()
	c.key("a")
	c.did(t)
	// One that comes while another is under the cursor changes nothing for that.
	c.pass(time.Second)
	c.tell(waits(request("a1", "evil.example"), request("c3", "other.example")))
	c.m.View()
	c.key("d")
	c.did(t, "answer a1 deny")
}

// TestPatience: who never stops typing is heard again after a while.
func TestPatience(t *testing.T) {
	c := asked(t, 100, 30)
	c.tell(waits(request("a1", "api.linear.app")))
	c.m.View()
	for range 7 {
		c.pass(200 * time.Millisecond)
		c.key("j")
	}
	c.key("a")
	c.did(t)
	c.pass(100 * time.Millisecond)
	c.key("a")
	c.did(t, "answer a1 once")
}

// TestAttackALongHost: what does not fit on the screen cannot be approved until
// it was scrolled through, and no part of it is left out.
func TestAttackALongHost(t *testing.T) {
	r := request("a1", "api.linear.app."+strings.Repeat("abcdefghij.", 364)+"evil.example") // 4 KiB
	c := asked(t, 60, 20, r)
	c.key("a")
	c.said(t, "not on the screen whole")
	c.key("G", "a", "enter", "G", "a") // the end alone is not all
	c.did(t)
	var text strings.Builder
	c.key("g")
	for last := ""; ; c.key("j") {
		_, inside, _ := strings.Cut(c.frame(), "━┓\n")
		lines := strings.Split(inside, "\n")
		if inside == last {
			text.WriteString(strings.Join(lines, ""))
			break
		}
		text.WriteString(lines[0])
		last = inside
	}
	all := strings.NewReplacer("┃", "", "host", "", " ", "").Replace(text.String())
	if !strings.Contains(all, r.Host) {
		t.Errorf("the host is not shown whole: %d letters", len(all))
	}
	c.key("a")
	c.did(t, "answer a1 once")
	// To deny it need not be read.
	c = asked(t, 60, 20, r)
	c.key("d")
	c.did(t, "answer a1 deny")
}

// TestAListAloneIsNotEnough: on a small screen the host may be cut.
func TestAListAloneIsNotEnough(t *testing.T) {
	c := asked(t, 40, 12, request("a1", "api.linear.app.very.long.name.evil.example"))
	c.key("a", "s", "A")
	c.did(t)
	c.key("enter", "a")
	c.did(t, "answer a1 once")
}

func TestAlwaysShowsTheLine(t *testing.T) {
	c := asked(t, 100, 30, request("a1", "api.linear.app"))
	c.key("A")
	if frame := c.frame(); !strings.Contains(frame, "allow POST at linear, path /graphql") || !strings.Contains(frame, "profile work") {
		t.Errorf("the line is not shown:\n%s", frame)
	}
	c.key("enter")
	c.did(t)
	c.key("A", "y") // too soon
	c.did(t)
	c.pass(quiet)
	c.key("y")
	c.did(t, "answer a1 always")
	// It was answered elsewhere while the question was open.
	c = asked(t, 100, 30, request("a1", "api.linear.app"))
	c.key("A")
	c.tell(waits(request("b2", "evil.example")))
	c.pass(quiet)
	c.key("y")
	c.did(t)
	c.said(t, "does not wait any more")
}

func TestMarkedOnesAreAskedAbout(t *testing.T) {
	a, b, other := request("a1", "api.linear.app"), request("b2", "api.github.com"), request("c3", "evil.example")
	c := asked(t, 100, 30, a, b, other)
	c.key(" ", " ", "s")
	frame := c.frame()
	if !strings.Contains(frame, "Approve 2 requests?") || !strings.Contains(frame, "api.linear.app") || !strings.Contains(frame, "api.github.com") {
		t.Errorf("they are not listed:\n%s", frame)
	}
	c.key("enter")
	c.did(t)
	c.key("s")
	c.tell(waits(b, other)) // the first is gone meanwhile
	c.pass(quiet)
	c.key("y")
	c.did(t, "answer b2 session")
}

func TestAMarkElsewhereIsAskedAbout(t *testing.T) {
	c := asked(t, 100, 30, request("a1", "api.linear.app"), request("b2", "api.github.com"))
	c.key(" ") // marks the first and moves to the second
	c.key("a")
	c.did(t)
	if frame := c.frame(); !strings.Contains(frame, "Approve 1 request?") {
		t.Errorf("it is not asked about:\n%s", frame)
	}
}

func TestWhatDoesNotWaitAnyMore(t *testing.T) {
	late := request("a1", "api.linear.app")
	c := asked(t, 100, 30, late)
	c.pass(41 * time.Second)
	c.pass(time.Second)
	c.said(t, "nobody answered in time, denied: POST api.linear.app/graphql")
	if frame := c.frame(); !strings.Contains(frame, "Nothing waits") {
		t.Errorf("it still waits:\n%s", frame)
	}
	c.key("a")
	c.did(t)

	c = asked(t, 100, 30, late)
	c.tell()
	c.pass(time.Second)
	c.said(t, "session 7f3a has ended")

	c = asked(t, 100, 30, late)
	c.tell(waits())
	c.pass(time.Second)
	c.said(t, "answered elsewhere")
}

func TestAnAnswerThatIsNotTaken(t *testing.T) {
	c := asked(t, 100, 30, request("a1", "api.linear.app"))
	c.f.fail = map[string]error{"answer a1 once": errors.New("session has ended")}
	c.key("a")
	if d, _ := c.m.notices.newest(); d.err == nil || d.err.Error() != "session has ended" {
		t.Errorf("it says %v", d.err)
	}
	if len(c.m.screens[screenApprovals].(*approvals).list.shown) != 1 {
		t.Error("the request is gone from the list")
	}
}

func TestApprovalFrames(t *testing.T) {
	mint := request("b2", "api.github.com")
	mint.Provider, mint.Path, mint.Mint, mint.Deadline = "github", "/app/installations/7/access_tokens", true, at.Add(112*time.Second)
	mint.Asked = at.Add(-time.Second)
	git := request("a1", "github.com")
	git.Provider, git.Path, git.Git, git.Repository, git.Body = "github", "/acme/api.git/git-receive-pack", "write", "acme/api", -1
	hostile := request("c3", "api.linear.app\x1b[2J\u202emoc.elpmaxe\u202c.evil.example")
	hostile.Path, hostile.Agent, hostile.Rule = "/"+strings.Repeat("long/", 60), "cl\x07aude\x1b]0;x\x07", "ask\nPOST"
	for _, size := range []struct {
		name string
		w, h int
	}{{"100x30", 100, 30}, {"60x20", 60, 20}, {"40x12", 40, 12}} {
		for name, requests := range map[string][]Request{
			"full": {git, mint}, "empty": nil, "hostile": {hostile},
		} {
			c := asked(t, size.w, size.h, requests...)
			golden(t, "approvals-"+name+"-"+size.name, c.frame())
			if name == "hostile" {
				c.key("enter")
				golden(t, "approvals-hostile-open-"+size.name, c.frame())
			}
			if name == "full" {
				c.key("j")
				golden(t, "approvals-mint-"+size.name, c.frame())
			}
		}
		c := newClocked(t, &fake{fail: map[string]error{"sessions": errors.New("list sessions: \x1b[31mpermission denied")}}, size.w, size.h)
		c.key("6")
		golden(t, "approvals-error-"+size.name, c.frame())
	}
}

// TestAttackALongQuestion: of several that are answered at once, the one that
// is below what fits on the screen was not read.
func TestAttackALongQuestion(t *testing.T) {
	long := request("b2", strings.Repeat("abcdefghij.", 364)+"evil.example")
	c := asked(t, 60, 20, request("a1", "api.linear.app"), long)
	c.key(" ", " ", "s")
	c.pass(quiet)
	c.key("y", "G", "y")
	c.did(t)
	c.key("g")
	for range 10 {
		c.key("ctrl+d")
	}
	c.key("y")
	c.did(t, "answer a1 session", "answer b2 session")
}
