package tui

import (
	"strings"

	"kb/tui/draw"
)

// fact is what is said of the selected row under one word.
type fact struct {
	name, text string
	role       draw.Role
}

// facts draws what there is to say, w cells wide: the words in a column, long
// texts on several lines. Facts without text are left out; a text's own line
// breaks stay.
func (s *shared) facts(w int, all ...fact) []string {
	column := 0
	for _, f := range all {
		if f.text != "" {
			column = max(column, draw.Width(draw.Clean(f.name)))
		}
	}
	column = min(column+2, w/2)
	var lines []string
	for _, f := range all {
		if f.text == "" {
			continue
		}
		name := draw.Clean(f.name)
		for part := range strings.SplitSeq(f.text, "\n") {
			for _, line := range draw.Wrap(draw.Clean(part), w-column) {
				lines = append(lines, s.theme.Paint(draw.Muted, s.theme.Fit(name, column))+s.theme.Paint(f.role, s.theme.Fit(line, w-column)))
				name = ""
			}
		}
	}
	return lines
}
