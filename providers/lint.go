package providers

import (
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Severity of a [Finding].
type Severity string

// An Error keeps a definition from being used; a Warning does not.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// Finding is one thing that [Lint] has to say.
type Finding struct {
	Line     int // from 1; 0 when no line is to blame
	Severity Severity
	Message  string
	Fix      string // what to write instead; may be empty
}

func (f Finding) String() string {
	s := fmt.Sprintf("%d: %s: %s", f.Line, f.Severity, f.Message)
	if f.Fix != "" {
		s += "; " + f.Fix
	}
	return s
}

// Lint checks a definition's text and says what is wrong where, in the order of
// the lines. No finding of severity [Error] means that [Parse] takes it.
func Lint(text []byte) []Finding {
	doc, err := decode(text)
	if err != nil {
		return undecoded(err)
	}
	lines := lineMap(text)
	p := doc.provider()
	var findings []Finding
	for _, problem := range p.check() {
		findings = append(findings, Finding{
			Line: lines.of(problem.At), Severity: Error, Message: problem.Message, Fix: problem.Fix,
		})
	}
	warn := func(at, message, fix string) {
		findings = append(findings, Finding{Line: lines.of(at), Severity: Warning, Message: message, Fix: fix})
	}
	if doc.Unverified {
		warn("unverified", "the definition is unverified as a whole", "read the vendor's page, name it in source, and drop the line")
	}
	for i, in := range doc.Inject {
		if in.Unverified {
			warn(fmt.Sprintf("inject[%d].unverified", i), "this rule is unverified", "read the vendor's page and name it in source")
		}
		if len(in.Query) > 0 {
			warn(fmt.Sprintf("inject[%d].query", i), "a credential in a query ends up in logs", "use a header field if the API takes one")
		}
	}
	if doc.Identity == nil {
		warn("", "no [identity]: kb cannot say whose a login is", "add one if the API has such an endpoint")
	}
	sort.SliceStable(findings, func(i, j int) bool { return findings[i].Line < findings[j].Line })
	return findings
}

func undecoded(err error) []Finding {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var findings []Finding
		for i := range unknown.Errors {
			line, _ := unknown.Errors[i].Position()
			key := strings.Join(unknown.Errors[i].Key(), ".")
			findings = append(findings, Finding{
				Line: line, Severity: Error,
				Message: fmt.Sprintf("unknown key %q", key), Fix: "docs/providers.md lists the keys",
			})
		}
		return findings
	}
	var syntax *toml.DecodeError
	if errors.As(err, &syntax) {
		line, _ := syntax.Position()
		return []Finding{{Line: line, Severity: Error, Message: firstLine(syntax)}}
	}
	return []Finding{{Severity: Error, Message: firstLine(err)}}
}
