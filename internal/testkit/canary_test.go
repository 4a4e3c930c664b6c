package testkit

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// The oracle trips on every plant, and on none of a neighbour's.
func TestOracleFindsEveryEncoding(t *testing.T) {
	canary := NewCanary("ghp_", 36)
	odd := "k\"ey/with+odd chars\\" + NewCanary("", 8)
	o := NewOracle(canary, odd)
	if n := o.Control(t, canary, odd); n != 2*17 {
		t.Errorf("%d controls tripped, want 34", n)
	}
	if o.Looked() != 0 || len(o.Findings()) != 0 {
		t.Error("the control must leave no trace in the oracle")
	}
	other := NewCanary("ghp_", 36)
	for _, p := range plants(other) {
		if o.Look("elsewhere", []byte(p.text)) {
			t.Errorf("another secret, as %s, is taken for the canary", p.name)
		}
	}
}

// A search below /proc sees the tree under a process and not the whole machine.
func TestOracleSearchesAProcessTree(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc")
	}
	o := NewOracle(NewCanary("x", 20))
	n, err := o.Processes(os.Getpid())
	if err != nil || n < 2 {
		t.Errorf("read %d files, %v", n, err)
	}
}

func TestRunKeepsExitCodeAndOutputs(t *testing.T) {
	h := NewHome(t)
	r := Exec(t, Command{Dir: h.Dir, Env: h.With("TERM=x"), Args: []string{"sh", "-c", "cat; echo $TERM $HOME; echo bad >&2; exit 7"}, Stdin: strings.NewReader("in ")})
	if r.Code != 7 || r.Stdout != "in x "+h.Dir+"\n" || r.Stderr != "bad\n" {
		t.Error(r.All())
	}
	watched := 0
	Exec(t, Command{Dir: h.Dir, Env: h.Env, Args: []string{"sleep", "0.2"}, Watch: func(pid int) {
		if pid > 0 {
			watched++
		}
	}})
	if watched < 2 {
		t.Errorf("a program of 0.2 s was watched %d times", watched)
	}
	if r := Run(t, h.Dir, h.Env, "sh", "-c", "kill -TERM $$"); r.Code != 143 {
		t.Errorf("killed by SIGTERM: exit %d, want 143", r.Code)
	}
}

func TestPatternKnowsItsPlace(t *testing.T) {
	b := make([]byte, 4096)
	p := &Pattern{}
	_, _ = p.Read(b[:1000])
	_, _ = p.Read(b[1000:])
	whole := make([]byte, 4096)
	_, _ = (&Pattern{}).Read(whole)
	if !bytes.Equal(b, whole) || bytes.Equal(whole[8:16], whole[16:24]) {
		t.Error("the pattern must depend on the position alone")
	}
}
