package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A ratio is taken within rounds: what slows a whole round down must not show.
func TestRatioIsTakenWithinRounds(t *testing.T) {
	s := series{direct: {100, 10, 1000}, own: {50, 5, 600}}
	if got := s.ratio(own, direct); got != 0.5 {
		t.Errorf("ratio is %v, want 0.5", got)
	}
	if got := s.difference(direct, own); got != 50 {
		t.Errorf("difference is %v, want 50", got)
	}
	if got := quantile([]time.Duration{3, 1, 2, 4}, 0.99); got != 4 {
		t.Errorf("p99 of four is %v, want the largest", got)
	}
}

// Each figure stands beside its limit, and a row without one says why.
func TestTableSaysWhatMisses(t *testing.T) {
	var tab table
	tab.target("rate", atLeast(0.5, "× direct"), 0.6)
	tab.target("rate", atLeast(0.5, "× direct"), 0.4)
	tab.target("time", atMost(12, "ms"), 15)
	tab.target("noise", atLeast(0.5, "× direct"), nothing)
	tab.target("no limit", noLimit("ms"), 120)
	var b strings.Builder
	tab.write(&b)
	for _, line := range []string{
		"| rate | ≥ 0.5 × direct | 0.60 | 1.20 | met |",
		"| rate | ≥ 0.5 × direct | 0.40 | 0.80 | missed |",
		"| time | ≤ 12 ms | 15.0 | 1.25 | missed |",
		"| noise | ≥ 0.5 × direct | – | – | no valid round |",
		"| no limit | – ms | 120.0 | – | |",
	} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("no line %q in\n%s", line, b.String())
		}
	}
}

// Figures of a kb whose audit lost a line must not be printed.
func TestAuditThatLacksALineIsRefused(t *testing.T) {
	const intent, outcome = `{"request":7,"phase":"intent"}` + "\n", `{"request":7,"phase":"outcome"}` + "\n"
	for lines, want := range map[string]error{intent + outcome: nil, intent: errAudit, outcome: errAudit, "": errAudit} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "s.jsonl"), []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		intents, outcomes, err := count(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := complete(1, intents, outcomes); !errors.Is(err, want) {
			t.Errorf("audit %q: %v, want %v", lines, err, want)
		}
	}
}
