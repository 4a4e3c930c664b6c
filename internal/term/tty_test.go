package term_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"kb/internal/secret"
	"kb/internal/term"
)

// The test binary asks on its controlling terminal when KB_TEST_ASK is set.
func TestMain(m *testing.M) {
	asked := os.Getenv("KB_TEST_ASK")
	if asked == "" {
		os.Exit(m.Run())
	}
	tty, err := term.OpenTTY()
	if err != nil {
		fmt.Println("no terminal")
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	switch asked {
	case "text":
		value, err := tty.AskText(ctx, "Key: ")
		fmt.Printf("text %d lines, %x, %v\n", strings.Count(value.Reveal(), "\n")+1, sha256.Sum256([]byte(value.Reveal())), err)
	case "wait":
		said := "waiting"
		ctx, enough := context.WithCancel(ctx)
		lines := 0
		err := tty.Wait(ctx, func(time.Time) string { return said + "; paste it here: " + strings.Repeat("long ", 40) }, func(v secret.Value) {
			lines++
			said = fmt.Sprintf("line %d has %d", lines, len(v.Reveal()))
			if lines == 2 {
				enough()
			}
		})
		fmt.Printf("\nwaited %d %v, foreground %v\n", lines, err, tty.Foreground())
		yes, err := tty.Confirm(context.Background(), "Go on?")
		fmt.Printf("confirm %v %v\n", yes, err)
	case "two":
		first, err := tty.AskText(ctx, "Key: ")
		second, err2 := tty.AskText(ctx, "Other: ")
		line, err3 := tty.AskLine(ctx, "Name: ")
		fmt.Printf("two %d %d %s %v %v %v\n", len(first.Reveal()), len(second.Reveal()), line, err, err2, err3)
	default:
		value, err := tty.AskSecret(ctx, "Token: ")
		fmt.Printf("secret %d %v\n", len(value.Reveal()), err)
		yes, err := tty.Confirm(ctx, "Go on?")
		fmt.Printf("confirm %v %v\n", yes, err)
	}
	os.Exit(0)
}

// screen is a terminal that the test binary asks on.
type screen struct {
	t     *testing.T
	tty   *os.File
	r     *bufio.Reader
	shown strings.Builder
}

func ask(t *testing.T, what string) *screen {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "KB_TEST_ASK="+what)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 80, Rows: 24})
	if err != nil {
		t.Skipf("skipped: no pseudo-terminal here: %v", err)
	}
	t.Cleanup(func() {
		_ = tty.Close()
		_ = cmd.Wait()
	})
	return &screen{t: t, tty: tty, r: bufio.NewReader(tty)}
}

func (s *screen) until(mark string) {
	s.t.Helper()
	for !strings.HasSuffix(s.shown.String(), mark) {
		b, err := s.r.ReadByte()
		if err != nil {
			s.t.Fatalf("terminal ended before %q; it showed %q", mark, s.shown.String())
		}
		s.shown.WriteByte(b)
	}
}

func (s *screen) types(text string) { fmt.Fprint(s.tty, text) }

func TestSecretIsReadWithoutEcho(t *testing.T) {
	s := ask(t, "secret")
	s.until("Token: ")
	s.types("kb-canary-77\n")
	s.until("secret 12 <nil>\r\n")
	s.until("Go on? [y/N] ")
	s.types("y\n")
	s.until("confirm true <nil>\r\n")
	if strings.Contains(s.shown.String(), "canary") {
		t.Errorf("the secret was echoed: %q", s.shown.String())
	}
	if !strings.Contains(s.shown.String(), "y\r\n") {
		t.Errorf("positive control: an ordinary line was not echoed: %q", s.shown.String())
	}
}

// TestTextOfManyLines: a pasted key ends where it ends, also past the 4096
// bytes at which a terminal's own line editing cuts.
func TestTextOfManyLines(t *testing.T) {
	long := strings.Repeat("kbCanary", 1000)
	for name, text := range map[string]string{
		"one line":  "kbCanary",
		"long line": long,
		"PEM":       "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat(strings.Repeat("kbCanary", 8)+"\n", 26) + "-----END PRIVATE KEY-----",
		"JSON":      "{\n  \"type\": \"service_account\",\n  \"private_key\": \"" + long + "\"\n}",
	} {
		s := ask(t, "text")
		s.until("Key: ")
		s.types(text + "\n")
		s.until(fmt.Sprintf("text %d lines, %x, <nil>\r\n", strings.Count(text, "\n")+1, sha256.Sum256([]byte(text))))
		if strings.Contains(s.shown.String(), "kbCanary") {
			t.Errorf("%s: it was echoed: %q", name, s.shown.String())
		}
	}
}

func TestTypingIsCorrected(t *testing.T) {
	s := ask(t, "text")
	s.until("Key: ")
	s.types("wrong\x15kbCanarz\x7fy\n")
	s.until(fmt.Sprintf("text 1 lines, %x, <nil>\r\n", sha256.Sum256([]byte("kbCanary"))))
}

// TestAnswersTypedAhead: what is pasted behind an answer answers the next
// question, however it is asked.
func TestAnswersTypedAhead(t *testing.T) {
	s := ask(t, "two")
	s.until("Key: ")
	s.types("kbCanary\nkbCanaryToo\nme\n")
	s.until("two 8 11 me <nil> <nil> <nil>\r\n")
	if strings.Contains(s.shown.String(), "kbCanary") {
		t.Errorf("it was shown: %q", s.shown.String())
	}
}

// TestWait: lines that are pasted while kb waits are counted and not shown, not
// between two of them either; the line never wraps, so that it is erased whole;
// the terminal is as before afterwards.
func TestWait(t *testing.T) {
	s := ask(t, "wait")
	s.until("waiting; paste it here: ")
	s.types("http://127.0.0.1/callback?code=kbCanary")
	s.until("(39 characters, not shown)")
	s.types("\nkbCanary")
	s.until("line 1 has 39; paste it here: ")
	s.until("(8 characters, not shown)")
	s.types("Two\nkbCanaryThree")
	s.until("\r\x1b[K")
	s.until("waited 2 cancelled, foreground true\r\n")
	s.until("Go on? [y/N] ")
	s.types("\x15y\n")
	s.until("confirm true <nil>\r\n")
	if strings.Contains(s.shown.String(), "kbCanary") {
		t.Errorf("a line was shown: %q", s.shown.String())
	}
	for _, part := range strings.Split(s.shown.String(), "\r\x1b[K") {
		if first, _, _ := strings.Cut(part, "\r\n"); len(first) >= 80 {
			t.Errorf("a line of %d characters wraps: %q", len(first), first)
		}
	}
}

func TestWaitEndsWithCtrlC(t *testing.T) {
	s := ask(t, "wait")
	s.until("paste it here: ")
	s.types("http://127.0.0.1/callback?code=kbCanary\x03")
	s.until("\r\nwaited 0 cancelled, foreground true\r\n")
	s.until("Go on? [y/N] ")
	s.types("n\n")
	s.until("confirm false <nil>\r\n")
}
