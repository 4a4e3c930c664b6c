package term_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/creack/pty"

	"kb/internal/term"
)

// The test binary asks on its controlling terminal when KB_TEST_ASK is set.
func TestMain(m *testing.M) {
	if os.Getenv("KB_TEST_ASK") == "" {
		os.Exit(m.Run())
	}
	tty, err := term.OpenTTY()
	if err != nil {
		fmt.Println("no terminal")
		os.Exit(1)
	}
	value, err := tty.AskSecret(context.Background(), "Token: ")
	fmt.Printf("secret %d %v\n", len(value.Reveal()), err)
	yes, err := tty.Confirm(context.Background(), "Go on?")
	fmt.Printf("confirm %v %v\n", yes, err)
	os.Exit(0)
}

func TestSecretIsReadWithoutEcho(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "KB_TEST_ASK=1")
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Skipf("skipped: no pseudo-terminal here: %v", err)
	}
	defer tty.Close()
	r := bufio.NewReader(tty)
	var screen strings.Builder
	until := func(mark string) {
		t.Helper()
		for !strings.HasSuffix(screen.String(), mark) {
			b, err := r.ReadByte()
			if err != nil {
				t.Fatalf("terminal ended before %q; it showed %q", mark, screen.String())
			}
			screen.WriteByte(b)
		}
	}
	until("Token: ")
	fmt.Fprint(tty, "kb-canary-77\n")
	until("secret 12 <nil>\r\n")
	until("Go on? [y/N] ")
	fmt.Fprint(tty, "y\n")
	until("confirm true <nil>\r\n")
	if strings.Contains(screen.String(), "canary") {
		t.Errorf("the secret was echoed: %q", screen.String())
	}
	if !strings.Contains(screen.String(), "y\r\n") {
		t.Errorf("positive control: an ordinary line was not echoed: %q", screen.String())
	}
	_ = cmd.Wait()
}
