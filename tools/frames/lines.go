package main

import (
	"fmt"
	"strings"
)

// arms are the lines of a box-drawing character from the middle of its cell: up,
// right, down, left. Fonts leave gaps between the lines of one row and the next,
// so they are drawn.
var arms = map[string]string{
	"─": "rl", "│": "ud", "┌": "rd", "┐": "dl", "└": "ur", "┘": "ul", "├": "urd", "┤": "udl", "┬": "rdl", "┴": "url", "┼": "urdl",
	"╭": "rd", "╮": "dl", "╰": "ur", "╯": "ul", "╴": "l", "╵": "u", "╶": "r", "╷": "d",
	"━": "rl", "┃": "ud", "┏": "rd", "┓": "dl", "┗": "ur", "┛": "ul", "┣": "urd", "┫": "udl",
}

// heavy are the characters of thick lines.
const heavy = "━┃┏┓┗┛┣┫"

// blocks are the parts of a cell that are filled, in eighths: from the left,
// from the top, width, height.
var blocks = map[string][4]float64{
	"▁": {0, 7, 8, 1}, "▂": {0, 6, 8, 2}, "▃": {0, 5, 8, 3}, "▄": {0, 4, 8, 4}, "▅": {0, 3, 8, 5}, "▆": {0, 2, 8, 6}, "▇": {0, 1, 8, 7}, "█": {0, 0, 8, 8},
	"▀": {0, 0, 8, 4}, "▌": {0, 0, 4, 8}, "▐": {4, 0, 4, 8}, "▔": {0, 0, 8, 1}, "▕": {7, 0, 1, 8},
	"▏": {0, 0, 1, 8}, "▎": {0, 0, 2, 8}, "▍": {0, 0, 3, 8}, "▋": {0, 0, 5, 8}, "▊": {0, 0, 6, 8}, "▉": {0, 0, 7, 8},
}

// strokes draws the lines and blocks of a row, and takes them out of it.
func strokes(row []cell, y int, t theme) string {
	var b strings.Builder
	top := margin + cellHeight*float64(y)
	for i := 0; i < len(row); i++ {
		c := row[i]
		to := i + 1 // cells of the same, which are one shape
		for to < len(row) && row[to] == c {
			to++
		}
		left, right := margin+cellWidth*float64(i), margin+cellWidth*float64(to)
		fg, _ := t.colours(c.style)
		dim := ""
		if c.style.dim {
			dim = ` opacity="0.65"`
		}
		if e, ok := blocks[c.text]; ok {
			whole := e[0] == 0 && e[2] == 8
			if !whole { // each cell has its own
				to, right = i+1, left+cellWidth
			}
			width := right - left
			if !whole {
				width = cellWidth * e[2] / 8
			}
			fmt.Fprintf(&b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"%s shape-rendering="crispEdges"/>`+"\n",
				px(left+cellWidth*e[0]/8), px(top+cellHeight*e[1]/8), px(width), px(cellHeight*e[3]/8), fg, dim)
		} else if a, ok := arms[c.text]; ok {
			middle, half := left+cellWidth/2, top+cellHeight/2
			path := ""
			switch a {
			case "rl":
				path = fmt.Sprintf("M%s %sH%s", px(left), px(half), px(right))
			default:
				to = i + 1
				for _, arm := range a {
					x, y := middle, half
					switch arm {
					case 'u':
						y = top
					case 'd':
						y = top + cellHeight
					case 'l':
						x = left
					case 'r':
						x = left + cellWidth
					}
					path += fmt.Sprintf("M%s %sL%s %s", px(middle), px(half), px(x), px(y))
				}
			}
			width := "1"
			if strings.Contains(heavy, c.text) {
				width = "2"
			}
			fmt.Fprintf(&b, `<path d="%s" stroke="%s" stroke-width="%s" stroke-linecap="square"%s/>`+"\n", path, fg, width, dim)
		} else {
			continue
		}
		for j := i; j < to; j++ {
			row[j].text = " "
		}
		i = to - 1
	}
	return b.String()
}
