package secretref

import (
	"regexp"
	"sync"
)

// pattern compiles an expression at its first use. Bounded repeats make large
// programs, and every start of kb, also one that reads no reference, would wait
// some milliseconds for them.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}
