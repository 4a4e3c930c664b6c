package profile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrNoMatch says that no rule's conditions hold and there is no default.
var ErrNoMatch = errors.New("no profile matches")

// AmbiguousError says that rules of different profiles are equally strong, so
// that choosing one would be a guess. A more telling rule settles it: any that
// states Remote or Dir exactly, or one more condition; so does removing one of
// Rules, or naming the profile.
type AmbiguousError struct {
	Rules    []Rule   // the strongest rules, by profile and id; of two profiles at least
	Profiles []string // theirs, each once, sorted
	Remote   string   // normal form of the remote that they match, if they have such a condition
	Dir      string   // the directory that they match, if they have such a condition
}

func (e *AmbiguousError) Error() string {
	var b strings.Builder
	b.WriteString("choose a profile for ")
	switch {
	case e.Remote != "":
		b.WriteString(strconv.Quote(e.Remote))
	case e.Dir != "":
		b.WriteString(strconv.Quote(e.Dir))
	default:
		b.WriteString("this session")
	}
	b.WriteString(": ")
	for i, r := range e.Rules {
		switch {
		case i == 0:
		case i == len(e.Rules)-1:
			b.WriteString(" and ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "rule %s (%s) says %s", r.ID, r.Conditions(), r.Profile)
	}
	b.WriteString("; they are equally strong")
	return b.String()
}

// UnknownProfileError says that a profile was named that does not exist.
type UnknownProfileError struct {
	Name string
	Rule *Rule // the rule that named it; nil when the user or the default setting did
}

func (e *UnknownProfileError) Error() string {
	if e.Rule != nil {
		return fmt.Sprintf("find profile %q: rule %s names it, but there is none", e.Name, e.Rule.ID)
	}
	return fmt.Sprintf("find profile %q: there is none", e.Name)
}

// InvalidError says which field of a rule or profile cannot be, and why.
type InvalidError struct {
	Kind  string // "rule" or "profile"
	Name  string // id of the rule or name of the profile, as given
	Field string // "remote", "dir", "name", …
	Value string // as given
	Why   string // "is a URL; write github.com/acme/api"
}

func (e *InvalidError) Error() string {
	return fmt.Sprintf("check %s %q: %s %q %s", e.Kind, e.Name, e.Field, e.Value, e.Why)
}
