package draw

import "strings"

// Spark is the newest values, one a cell, as bars whose highest is the greatest of
// them. Fewer values than cells stand at the right end.
func (t *Theme) Spark(values []int, w int) string {
	if w <= 0 {
		return ""
	}
	values = values[max(0, len(values)-w):]
	greatest := 0
	for _, v := range values {
		greatest = max(greatest, v)
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", w-len(values)))
	top := len(t.glyphs.spark) - 1
	for _, v := range values {
		level := 0
		if v > 0 { // what is not nothing is seen
			level = max(1, int(int64(v)*int64(top)/int64(greatest)))
		}
		b.WriteRune(t.glyphs.spark[level])
	}
	return b.String()
}

// Meter is a bar w cells wide of which a part is full: part of whole.
func (t *Theme) Meter(part, whole, w int) string {
	if w <= 0 {
		return ""
	}
	n := 0
	if whole > 0 {
		n = max(0, min(w, int(int64(part)*int64(w)/int64(whole))))
	}
	return strings.Repeat(t.glyphs.full, n) + strings.Repeat(t.glyphs.empty, w-n)
}
