package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestAttackNamesOfAProgramsFile: a program's file, which an agent can write,
// says whose login it holds, and an agent's variable where it is. Neither moves
// a cursor.
func TestAttackNamesOfAProgramsFile(t *testing.T) {
	const hostile = "ada\x1b]0;owned\a\u009b2J\u202e"
	for _, looking := range []bool{false, true} {
		var screen bytes.Buffer
		a := &app{out: &screen, err: &screen}
		line := importJSON{
			Source: "codex", Found: true, Imported: true, Moves: true, Provider: "chatgpt", Profile: "work",
			Account: hostile, Path: "/tmp/" + hostile, Backup: "/tmp/" + hostile, Note: hostile,
		}
		if err := showImports(a, importOptions{}, []importJSON{line}, looking); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(screen.String(), "\x1b\a\u009b\u202e") {
			t.Errorf("looking %v: the screen gets %q", looking, screen.String())
		}
		if !strings.Contains(screen.String(), "ada") {
			t.Errorf("control: looking %v: the screen has no account: %q", looking, screen.String())
		}
	}
}
