package main

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// style is how a cell is drawn. Colours are 0 for the terminal's own, 1 to 256
// for the palette's 0 to 255, and above that 1<<24 and 24 bits of RGB.
type style struct {
	fg, bg                               int
	bold, dim, italic, underline, strike bool
	reverse                              bool
}

const rgb = 1 << 24

// cell is one of the grid; text is empty where a wide character of the cell
// before goes on.
type cell struct {
	text  string
	width int
	style style
}

// parse reads a frame as tmux prints it (capture-pane -e): lines of text with
// SGR sequences (ECMA-48, 8.3.117) that go on in the next line. Other sequences
// are left out. Every line has width cells.
func parse(frame string, width, height int) ([][]cell, error) {
	var grid [][]cell
	var now style
	for line := range strings.SplitSeq(strings.TrimSuffix(frame, "\n"), "\n") {
		if len(grid) == height {
			return nil, fmt.Errorf("the frame has more than %d lines", height)
		}
		row := make([]cell, 0, width)
		for line != "" {
			if rest, ok := strings.CutPrefix(line, "\x1b["); ok {
				end := strings.IndexFunc(rest, func(r rune) bool { return r >= 0x40 && r <= 0x7e })
				if end < 0 {
					return nil, fmt.Errorf("line %d ends in a sequence", len(grid)+1)
				}
				if rest[end] == 'm' {
					if err := now.set(rest[:end]); err != nil {
						return nil, fmt.Errorf("line %d: %w", len(grid)+1, err)
					}
				}
				line = rest[end+1:]
				continue
			}
			if strings.HasPrefix(line, "\x1b]") { // OSC, such as a hyperlink
				end := strings.Index(line, "\x1b\\")
				if end < 0 {
					return nil, fmt.Errorf("line %d ends in a sequence", len(grid)+1)
				}
				line = line[end+2:]
				continue
			}
			if r, size := utf8.DecodeRuneInString(line); r < ' ' || r == 0x7f || r == utf8.RuneError && size == 1 {
				return nil, fmt.Errorf("line %d: byte %#x is no text", len(grid)+1, line[0])
			}
			// A sequence is no part of a cluster.
			text, _, _ := strings.Cut(line, "\x1b")
			cluster, _, w, _ := uniseg.FirstGraphemeClusterInString(text, -1)
			line = line[len(cluster):]
			if w == 0 { // a combining character alone
				if n := len(row); n > 0 {
					row[n-1].text += cluster
				}
				continue
			}
			row = append(row, cell{cluster, w, now})
			for range w - 1 {
				row = append(row, cell{style: now})
			}
		}
		if len(row) > width {
			return nil, fmt.Errorf("line %d has %d cells of %d", len(grid)+1, len(row), width)
		}
		for len(row) < width {
			row = append(row, cell{" ", 1, style{}})
		}
		grid = append(grid, row)
	}
	for len(grid) < height {
		row := make([]cell, width)
		for i := range row {
			row[i] = cell{text: " ", width: 1}
		}
		grid = append(grid, row)
	}
	return grid, nil
}

// set applies the parameters of an SGR sequence.
func (s *style) set(parameters string) error {
	words := strings.FieldsFunc(parameters, func(r rune) bool { return r == ';' || r == ':' })
	if len(words) == 0 {
		words = []string{"0"}
	}
	codes := make([]int, len(words))
	for i, w := range words {
		var err error
		if codes[i], err = strconv.Atoi(w); err != nil {
			return fmt.Errorf("SGR %q", parameters)
		}
	}
	for len(codes) > 0 {
		c := codes[0]
		codes = codes[1:]
		switch {
		case c == 0:
			*s = style{}
		case c == 1:
			s.bold = true
		case c == 2:
			s.dim = true
		case c == 3:
			s.italic = true
		case c == 4:
			s.underline = true
		case c == 7:
			s.reverse = true
		case c == 9:
			s.strike = true
		case c == 22:
			s.bold, s.dim = false, false
		case c == 23:
			s.italic = false
		case c == 24:
			s.underline = false
		case c == 27:
			s.reverse = false
		case c == 29:
			s.strike = false
		case c >= 30 && c <= 37:
			s.fg = c - 30 + 1
		case c == 39:
			s.fg = 0
		case c >= 40 && c <= 47:
			s.bg = c - 40 + 1
		case c == 49:
			s.bg = 0
		case c >= 90 && c <= 97:
			s.fg = c - 90 + 8 + 1
		case c >= 100 && c <= 107:
			s.bg = c - 100 + 8 + 1
		case c == 38 || c == 48 || c == 58:
			colour, rest, ok := extended(codes)
			if !ok {
				return fmt.Errorf("SGR %q", parameters)
			}
			codes = rest
			switch c {
			case 38:
				s.fg = colour
			case 48:
				s.bg = colour
			} // 58 is that of the underline
		}
	}
	return nil
}

// extended is the colour of "5;n" or "2;r;g;b".
func extended(codes []int) (colour int, rest []int, ok bool) {
	switch {
	case len(codes) >= 2 && codes[0] == 5 && codes[1] < 256:
		return codes[1] + 1, codes[2:], true
	case len(codes) >= 4 && codes[0] == 2:
		return rgb | codes[1]&255<<16 | codes[2]&255<<8 | codes[3]&255, codes[4:], true
	}
	return 0, nil, false
}
