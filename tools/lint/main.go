// Command lint runs, over one load of the packages, the analyzers that
// neither go vet nor staticcheck has: dropped errors, errors compared with ==
// or formatted with %v, response bodies left open, and requests and processes
// without a context.
//
// .ci/run lint calls it, with errcheck.txt for what may be dropped.
package main

import (
	"github.com/kisielk/errcheck/errcheck"
	"github.com/polyfloyd/go-errorlint/errorlint"
	"github.com/sonatard/noctx"
	"github.com/timakin/bodyclose/passes/bodyclose"
	"golang.org/x/tools/go/analysis/multichecker"
)

func main() {
	multichecker.Main(
		errcheck.Analyzer,
		errorlint.NewAnalyzer(),
		bodyclose.Analyzer,
		noctx.Analyzer,
	)
}
