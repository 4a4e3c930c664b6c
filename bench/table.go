package main

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"time"
)

// table is what a run prints.
type table struct {
	compared        []comparison
	targets         []target
	notes           []string
	kept, discarded int // rounds of the keep-alive rows
	load            [2]string
	took            time.Duration
}

type comparison struct {
	what   string
	values map[string]string // by subject
}

// limit is what a figure is held against.
type limit struct {
	value float64
	unit  string
	least bool // the figure should be that or more
}

func atLeast(v float64, unit string) limit { return limit{v, unit, true} }
func atMost(v float64, unit string) limit  { return limit{v, unit, false} }
func noLimit(unit string) limit            { return limit{unit: unit} }

type target struct {
	what  string
	limit limit
	got   float64
}

// nothing is the figure of a row whose every round was discarded.
var nothing = math.NaN()

func (t *table) compare(what string, values map[string]string) {
	t.compared = append(t.compared, comparison{what, values})
}

func (t *table) target(what string, l limit, got float64) {
	t.targets = append(t.targets, target{what, l, got})
}

func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// write prints both tables as Markdown.
func (t *table) write(w io.Writer) {
	columns := []string{direct, tunnel, reverse, peer, own}
	fmt.Fprintf(w, "| 1 KiB reply, injected header | %s |\n|---|%s\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, c := range t.compared {
		cells := make([]string, len(columns))
		for i, name := range columns {
			cells[i] = c.values[name]
			if cells[i] == "" {
				cells[i] = "–"
			}
		}
		fmt.Fprintf(w, "| %s | %s |\n", c.what, strings.Join(cells, " | "))
	}
	fmt.Fprint(w, "\n| what | target | kb | kb / target | |\n|---|---|---|---|---|\n")
	for _, row := range t.targets {
		got, ratio, verdict := "–", "–", "no valid round"
		if row.limit.value == 0 {
			fmt.Fprintf(w, "| %s | – %s | %s | – | |\n", row.what, row.limit.unit, figure(row.got))
			continue
		}
		if !math.IsNaN(row.got) {
			got, ratio, verdict = figure(row.got), fmt.Sprintf("%.2f", row.got/row.limit.value), "met"
			if row.limit.least && row.got < row.limit.value || !row.limit.least && row.got > row.limit.value {
				verdict = "missed"
			}
		}
		sign := "≤"
		if row.limit.least {
			sign = "≥"
		}
		fmt.Fprintf(w, "| %s | %s %v %s | %s | %s | %s |\n", row.what, sign, row.limit.value, row.limit.unit, got, ratio, verdict)
	}
	fmt.Fprintf(w, "\n%d CPUs, %s/%s, %s. Load average (1, 5, 15 min): %s before, %s after. The run took %.0f s.\n",
		runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(), averages(t.load[0]), averages(t.load[1]), t.took.Seconds())
	fmt.Fprintf(w, "Keep-alive rounds: %d kept, %d discarded because their blind tunnel was below %v of direct.\n", t.kept, t.discarded, noise)
	for _, n := range t.notes {
		fmt.Fprintln(w, n)
	}
}

// figure shows two digits after the point, or as few as make sense.
func figure(v float64) string {
	if math.Abs(v) >= 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// averages is the first three words of /proc/loadavg.
func averages(s string) string {
	words := strings.Fields(s)
	return strings.Join(words[:min(3, len(words))], " ")
}
