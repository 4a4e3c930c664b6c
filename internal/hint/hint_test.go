package hint_test

import (
	"errors"
	"fmt"
	"testing"

	"kb/internal/hint"
)

func TestCodeAndFix(t *testing.T) {
	base := errors.New("no login for linear")
	cases := []struct {
		err  error
		code int
		fix  string
	}{
		{nil, hint.OK, ""},
		{base, hint.Failure, ""},
		{hint.Wrap(base, "run kb login linear"), hint.Failure, "run kb login linear"},
		{hint.Exit(hint.Human, base, "run kb login linear"), hint.Human, "run kb login linear"},
		{fmt.Errorf("start: %w", hint.Exit(hint.Human, base, "a")), hint.Human, "a"},
		{hint.Wrap(hint.Exit(hint.Refused, base, "inner"), "outer"), hint.Refused, "outer"},
		{hint.Exit(hint.Human, hint.Wrap(base, "inner"), ""), hint.Human, "inner"},
	}
	for _, c := range cases {
		if got := hint.Code(c.err); got != c.code {
			t.Errorf("Code(%v) = %d, want %d", c.err, got, c.code)
		}
		if got := hint.Fix(c.err); got != c.fix {
			t.Errorf("Fix(%v) = %q, want %q", c.err, got, c.fix)
		}
		if c.err != nil && !errors.Is(c.err, base) {
			t.Errorf("%v lost its cause", c.err)
		}
	}
	if hint.Wrap(nil, "x") != nil || hint.Exit(1, nil, "x") != nil {
		t.Error("a nil error became an error")
	}
}

func TestWord(t *testing.T) {
	for s, want := range map[string]string{
		"work": "work", "team/bot": "team/bot", "": "''", "a b": "'a b'", "a;b": "'a;b'", "it's": `'it'\''s'`, "$(x)": "'$(x)'",
	} {
		if got := hint.Word(s); got != want {
			t.Errorf("%q is written %s, want %s", s, got, want)
		}
	}
}
