package main

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestAttackCompletedWordIsRun: a name in a shared vault is a command to the shell
// that completes it. Cobra's script for bash evaluates the words of the line when
// tab is pressed again, so what is offered is put through bash's own eval.
func TestAttackCompletedWordIsRun(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("skipped: bash is not installed")
	}
	// read is what bash makes of a word when it evaluates the line.
	read := func(word string) string {
		out, _ := exec.CommandContext(t.Context(), bash, "-c", `cd / && eval "printf '<%s>' $1"`, "bash", word).Output()
		return string(out)
	}
	hostile := []string{"$(echo run)", "`echo run`", "work;echo run", "work&echo run", "work|cat", "work>/dev/null", "*", "~", "a b", "${HOME}", "'", `"`, `\`, "-x", "#", "a\nb", "!!", "{a,b}", "é"}
	if got := read(hostile[0]); got != "<run>" {
		t.Fatalf("the control ran nothing: %q", got)
	}
	all := []cobra.Completion{"work\tme@acme.example", "team/bot", "r1629a8a"}
	for _, h := range hostile {
		all = append(all, completion(h, "a name"))
	}
	offers := beginning("", all)
	for _, o := range offers {
		word, _, _ := strings.Cut(o, "\t")
		if got := read(word); got != "<"+word+">" {
			t.Errorf("%q is offered, and bash reads %q", word, got)
		}
	}
	if len(offers) != 3 {
		t.Errorf("offered are %q", offers)
	}
	// Words of closed sets are offered still.
	for _, closed := range [][]cobra.Completion{{"1h", "8h"}, {"hardened", "none"}, {"aws:default", "key.id", "a+b%c"}} {
		if got := beginning("", closed); !slices.Equal(got, closed) {
			t.Errorf("of %q only %q are offered", closed, got)
		}
	}
	var script bytes.Buffer
	if err := wholeRoot(newApp()).GenBashCompletionV2(&script, true); err != nil || !strings.Contains(script.String(), "eval") {
		t.Errorf("cobra's script evaluates nothing any more, %v: this test has lost its reason", err)
	}
}
