package main

import (
	"errors"
	"strings"
	"testing"

	"kb/internal/control"
)

// TestAttackRowsOfAQuestion: names that others gave (an agent's program, its
// directory, an account of a shared vault) make no rows of their own in what a person
// is asked, by filling one with blanks.
func TestAttackRowsOfAQuestion(t *testing.T) {
	t.Parallel()
	r := control.Request{ID: "3fa2c1", Session: "7f3a", Profile: "work", Provider: "github", Method: "POST", Host: "api.evil.example", Port: 443, Path: "/x"}
	var text strings.Builder
	describeRequest(&text, &r, "")
	if rows := strings.Split(text.String(), "\n"); rows[1] != "  host       api.evil.example" { // the positive control
		t.Fatalf("the first row is %q of\n%s", rows[1], text.String())
	}
	for name, blank := range map[string]string{"spaces": " ", "no-break spaces": "\u00a0", "wide spaces": "\u3000", "Braille": "\u2800", "Hangul": "\u3164", "line breaks": "\n"} {
		false := strings.Repeat(blank, 70) + "host" + strings.Repeat(blank, 7) + "api.good.example"
		r.Agent, r.Dir, r.Login, r.Rule, r.Repository = "claude"+false, "/src"+false, "me"+false, "ask"+false, "github.com/a/b"+false
		text.Reset()
		describeRequest(&text, &r, "")
		shown := text.String()
		if strings.Contains(shown, strings.Repeat(blank, 3)+"host") || strings.Count(shown, "\n  host ") != 1 {
			t.Errorf("%s: %q", name, shown)
		}
		if strings.Index(shown, r.Host) > strings.Index(shown, "api.good.example") {
			t.Errorf("%s: the host comes after what others wrote:\n%s", name, shown)
		}
	}
}

// TestAttackShortID: a person who means one request by the first letters of its id
// does not approve another that an agent has made in its place.
func TestAttackShortID(t *testing.T) {
	t.Parallel()
	waiting := []control.Request{{ID: "3fa2c1"}, {ID: "777777"}}
	for _, id := range []string{"3fa2c1", "3fa2"} { // the positive control
		if r, err := choose(nil, waiting, id, answerOptions{}); err != nil || r.ID != "3fa2c1" {
			t.Errorf("%s: %v, %v", id, r, err)
		}
	}
	for _, id := range []string{"3", "3f", "3fa"} {
		if r, err := choose(nil, waiting, id, answerOptions{}); !errors.Is(err, control.ErrNoRequest) {
			t.Errorf("%s: %v, %v", id, r, err)
		}
	}
}
