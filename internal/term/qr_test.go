package term_test

import (
	"strings"
	"testing"

	"rsc.io/qr"

	"kb/internal/term"
)

const address = "https://login.example.com/device?user_code=WDJB-MJHT"

// modules reads a picture back: true is black.
func modules(t *testing.T, picture string, c term.Canvas) [][]bool {
	t.Helper()
	var out [][]bool
	for line := range strings.Lines(picture) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case c.Blocks:
			line = strings.TrimSuffix(strings.TrimPrefix(line, "\x1b[97;40m"), "\x1b[0m")
			var upper, lower []bool
			for _, r := range line {
				upper = append(upper, r == ' ' || r == '▄')
				lower = append(lower, r == ' ' || r == '▀')
			}
			out = append(out, upper, lower)
		case c.Colour:
			var row []bool
			for _, cell := range strings.SplitAfter(line, "\x1b[0m") {
				if cell != "" {
					row = append(row, strings.HasPrefix(cell, "\x1b[40m"))
				}
			}
			out = append(out, row)
		default:
			var row []bool
			for i := 0; i+1 < len(line); i += 2 {
				row = append(row, line[i] == ' ')
			}
			out = append(out, row)
		}
	}
	return out
}

func TestQRIsReadBack(t *testing.T) {
	want, err := qr.Encode(address, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []term.Canvas{
		{Width: 200, Height: 100, Blocks: true, Colour: true},
		{Width: 200, Height: 100, Blocks: true},
		{Width: 200, Height: 100, Colour: true},
		{Width: 200, Height: 100},
	} {
		got := modules(t, term.QR(address, c), c)
		if len(got) < want.Size+4 {
			t.Fatalf("%+v: %d rows for %d modules", c, len(got), want.Size)
		}
		for y := range want.Size {
			for x := range want.Size {
				if got[y+2][x+2] != want.Black(x, y) {
					t.Fatalf("%+v: module %d,%d is wrong", c, x, y)
				}
			}
		}
		for x := range want.Size + 4 {
			if got[0][x] || got[1][x] || got[want.Size+2][x] {
				t.Fatalf("%+v: the border is not white", c)
			}
		}
	}
}

func TestQROnlyWhereItFits(t *testing.T) {
	whole := term.QR(address, term.Canvas{Width: 200, Height: 100, Blocks: true})
	height := strings.Count(whole, "\n")
	width := len([]rune(strings.SplitN(whole, "\n", 2)[0]))
	if term.QR(address, term.Canvas{Width: width, Height: height, Blocks: true}) == "" {
		t.Error("it is not drawn where it just fits")
	}
	for _, c := range []term.Canvas{
		{Width: width - 1, Height: height, Blocks: true},
		{Width: width, Height: height - 1, Blocks: true},
		{Width: width, Height: height}, // twice as large without half blocks
		{},
	} {
		if got := term.QR(address, c); got != "" {
			t.Errorf("%+v: drawn", c)
		}
	}
	if got := term.QR(address+strings.Repeat("x", 4000), term.Canvas{Width: 1000, Height: 1000}); got != "" {
		t.Error("more than a code can hold was drawn")
	}
}

func TestLocale(t *testing.T) {
	for _, c := range []struct {
		environ map[string]string
		want    bool
	}{
		{map[string]string{"LANG": "en_GB.UTF-8"}, true},
		{map[string]string{"LANG": "C.utf8"}, true},
		{map[string]string{"LANG": "en_GB.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LANG": "de_DE.ISO-8859-1"}, false},
		{nil, false},
	} {
		if got := term.UTF8(getenv(c.environ)); got != c.want {
			t.Errorf("%v: %v", c.environ, got)
		}
	}
}
