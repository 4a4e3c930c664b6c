package control

import (
	"errors"
	"testing"
	"time"
)

// TestAttackFloodOfOneProcess: what connects again and again is looked at once in
// a second, for the rest by its start alone; and nobody else is taken for it.
func TestAttackFloodOfOneProcess(t *testing.T) {
	t.Parallel()
	agent := process{pid: 300, parent: 100, start: 50, program: "python3"}
	system := map[int]process{
		1: {pid: 1, start: 1, program: "init"}, 2: {pid: 2, parent: 1, start: 2, program: "sh"},
		100: {pid: 100, parent: 2, start: 20, program: "kb"}, 300: agent,
	}
	looks, deep := 0, 0
	g := &guard{
		dir: t.TempDir(), self: 100, program: "kb", session: true,
		look: func(pid int) (process, error) {
			looks++
			if p, ok := system[pid]; ok {
				return p, nil
			}
			return process{}, errGone
		},
		arguments: func(int) [][]byte { deep++; return nil }, environment: func(int) [][]byte { deep++; return nil },
		bound: func(int) bool { return false },
	}
	judge := func() error {
		_, err := g.judge(peer{pid: 300, running: func() bool { return true }, done: func() {}})
		return err
	}
	if err := judge(); !errors.Is(err, ErrRefused) {
		t.Fatalf("judged %v", err)
	}
	first := looks
	looks, deep = 0, 0
	for range 1000 {
		if err := judge(); !errors.Is(err, ErrRefused) {
			t.Fatalf("and then %v", err)
		}
	}
	if looks != 1000 || deep != 0 || first < 4 {
		t.Errorf("1,000 connections cost %d looks and %d reads, and the first one %d looks", looks, deep, first)
	}
	looks = 0
	last := g.lately[300]
	last.until = time.Now().Add(-time.Second)
	g.lately[300] = last
	if err := judge(); !errors.Is(err, ErrRefused) || looks != first {
		t.Errorf("a second later: %v, %d looks", err, looks)
	}
	// Who has its id by now, and what it runs by now, is judged by itself.
	for _, other := range []process{{pid: 300, parent: 2, start: 60, program: "python3"}, {pid: 300, parent: 2, start: 50, program: "kb"}} {
		g.remember(agent, ErrRefused)
		system[300] = other
		if err := judge(); err != nil {
			t.Errorf("%+v: %v", other, err)
		}
	}
}
