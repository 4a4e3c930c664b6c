package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/doctor"
)

// checkJSON is one check in kb doctor --json.
type checkJSON struct {
	Name  string `json:"name"`
	State string `json:"state"` // ok, warning, failed, skipped
	Line  string `json:"line"`
	Why   string `json:"why,omitempty"`
	Fix   string `json:"fix,omitempty"` // the command that mends it
}

func newDoctor(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor [-- CMD]",
		Short: "check all that kb needs here, and say what mends what is wrong",
		Long: `Check all that kb needs here, and say what mends what is wrong. Nothing is changed.

With CMD it is also checked that PATH has that program. The exit code is 1 if a
check failed; a warning is none.`,
		Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, _, err := a.desk()
			if err != nil {
				return err
			}
			o := d.Checkup()
			o.Command = first(args)
			reports := doctor.Run(cmd.Context(), o, func(string, *doctor.Result) {})
			if asJSON {
				err = a.printChecks(reports)
			} else {
				a.showChecks(reports)
			}
			if err == nil && doctor.Worst(reports) == doctor.Failed {
				err = quiet(errUnwell)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// errUnwell says that a check failed; the checks said which.
var errUnwell = errors.New("a check failed")

func (a *app) printChecks(reports []doctor.Report) error {
	out := struct {
		OK     bool        `json:"ok"` // no check failed
		Checks []checkJSON `json:"checks"`
	}{OK: doctor.Worst(reports) != doctor.Failed}
	for _, r := range reports {
		out.Checks = append(out.Checks, checkJSON{r.Name, string(r.State), r.Line, r.Why, r.Fix})
	}
	return a.json(out)
}

func (a *app) showChecks(reports []doctor.Report) {
	marks := map[doctor.State]string{doctor.OK: "+", doctor.Warning: "!", doctor.Failed: "x", doctor.Skipped: "-"}
	counts := map[doctor.State]int{}
	for _, r := range reports {
		counts[r.State]++
		line := cleanLines(r.Line)
		if r.State == doctor.Skipped {
			line = "not checked: " + line
		}
		fmt.Fprintf(a.out, "%s %-10s %s\n", marks[r.State], r.Name, line)
		if r.State != doctor.Warning && r.State != doctor.Failed {
			continue
		}
		if r.Why != "" {
			fmt.Fprintf(a.out, "    %s\n", cleanLines(r.Why))
		}
		if r.Fix != "" {
			fmt.Fprintf(a.out, "    %s\n", cleanLines(r.Fix))
		}
	}
	var words []string
	for _, s := range []doctor.State{doctor.OK, doctor.Warning, doctor.Failed, doctor.Skipped} {
		if n := counts[s]; n > 0 {
			words = append(words, fmt.Sprintf("%d %s", n, s))
		}
	}
	fmt.Fprintf(a.out, "\n%s: %s\n", plural(len(reports), "check"), strings.Join(words, ", "))
}
