package draw

import "strings"

// Column is a column of a table.
type Column struct {
	Title string
	Width int  // cells; of the column with Grow, its least
	Grow  bool // it takes what is left; at most one does
	Right bool // text at the right end
	// Drop orders what is left out where the table is too wide for its place: 1
	// goes first. 0 is never left out.
	Drop int
}

// Cell is a piece of plain text and what it is.
type Cell struct {
	Text string
	Role Role
}

// Table is rows under headings.
type Table struct {
	Columns []Column
	Rows    [][]Cell // those that are shown, a cell for each column
	Cursor  int      // index in Rows; -1 for none
	Marked  map[int]bool
	Bare    bool // no headings
}

// Table draws a table w cells wide; its height is that of its rows, and one for
// the headings. The first two cells of a line are the cursor and the mark.
func (t *Theme) Table(b Table, w int) []string {
	columns, widths := b.layout(w - 2)
	var lines []string
	if !b.Bare {
		var head strings.Builder
		head.WriteString("  ")
		for i, c := range columns {
			head.WriteString(t.cell(b.Columns[c].Title, widths[i], b.Columns[c].Right))
			head.WriteString(gap(i, len(columns)))
		}
		lines = append(lines, t.Paint(Muted, t.Fit(head.String(), w)))
	}
	for r, row := range b.Rows {
		lead := "  "
		switch {
		case r == b.Cursor && b.Marked[r]:
			lead = ">*"
		case r == b.Cursor:
			lead = "> "
		case b.Marked[r]:
			lead = " *"
		}
		var line strings.Builder
		used := 2
		line.WriteString(t.painted(r == b.Cursor, Plain, t.Fit(lead, min(2, w))))
		for i, c := range columns {
			if used >= w {
				break
			}
			width := min(widths[i], w-used)
			line.WriteString(t.painted(r == b.Cursor, row[c].Role, t.cell(row[c].Text, width, b.Columns[c].Right)))
			line.WriteString(t.Fit(gap(i, len(columns)), min(len(gap(i, len(columns))), w-used-width)))
			used += width + len(gap(i, len(columns)))
		}
		lines = append(lines, Pad(line.String(), w))
	}
	return lines
}

// painted is a cell's text; of the row under the cursor only a state's colour
// stays.
func (t *Theme) painted(cursor bool, r Role, s string) string {
	if cursor && (r == Plain || r == Muted) {
		r = Selected
	}
	return t.Paint(r, s)
}

func (t *Theme) cell(s string, w int, right bool) string {
	if right {
		return t.FitRight(s, w)
	}
	return t.Fit(s, w)
}

func gap(i, n int) string {
	if i == n-1 {
		return ""
	}
	return "  "
}

// layout says which columns fit in w cells, and how wide they are.
func (b *Table) layout(w int) (columns, widths []int) {
	dropped := 0
	for {
		columns, widths = columns[:0], widths[:0]
		need, grow := 0, -1
		for i, c := range b.Columns {
			if c.Drop != 0 && c.Drop <= dropped {
				continue
			}
			if c.Grow {
				grow = len(columns)
			}
			columns, widths = append(columns, i), append(widths, c.Width)
			need += c.Width + 2
		}
		need -= 2
		if need <= w {
			if grow >= 0 {
				widths[grow] += w - need
			}
			return columns, widths
		}
		next := 0
		for _, i := range columns {
			if d := b.Columns[i].Drop; d != 0 && (next == 0 || d < next) {
				next = d
			}
		}
		if next == 0 { // all that is left must stay: the growing one gives way
			if grow >= 0 {
				widths[grow] = max(1, widths[grow]-(need-w))
			}
			return columns, widths
		}
		dropped = next
	}
}
