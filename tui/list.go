package tui

import (
	"slices"
	"strings"

	"kb/tui/draw"
)

// list is rows that a person moves in, filters and marks. The cursor stays on
// its row, by key, when others come and go.
type list[T any] struct {
	key  func(T) string
	text func(T) string // what a filter looks at

	all    []T
	shown  []T
	cursor int  // index in shown
	top    int  // first row on the screen
	head   int  // lines above the rows, as of the last table
	rows   int  // that were drawn then
	bare   bool // no headings
	away   bool // the focus is elsewhere: no cursor is drawn
	filter string
	marked map[string]bool
}

func newList[T any](key, text func(T) string) list[T] {
	return list[T]{key: key, text: text, marked: map[string]bool{}}
}

// set replaces the rows.
func (l *list[T]) set(all []T) {
	l.all = all
	l.refilter()
}

// setFilter shows the rows that have the words of a filter, in any order and case;
// a filter that begins with "!" those that do not.
func (l *list[T]) setFilter(filter string) {
	l.filter = filter
	l.refilter()
}

func (l *list[T]) refilter() {
	key, was := "", l.cursor
	if row, ok := l.selected(); ok {
		key = l.key(row)
	}
	// The clock changes what is shown each second, and mostly none of this.
	if l.shown = l.all; strings.TrimSpace(l.filter) != "" {
		l.shown = nil
		for _, row := range l.all {
			if matches(l.filter, l.text(row)) {
				l.shown = append(l.shown, row)
			}
		}
	}
	if row, ok := l.selected(); !ok || l.key(row) != key {
		l.cursor = slices.IndexFunc(l.shown, func(row T) bool { return l.key(row) == key })
		if l.cursor < 0 {
			l.cursor = was
		}
	}
	l.move(0)
}

// matches reports whether a row's text has what a filter wants.
func matches(filter, text string) bool {
	filter, not := strings.CutPrefix(strings.ToLower(strings.TrimSpace(filter)), "!")
	if filter == "" {
		return true
	}
	text = strings.ToLower(text)
	for word := range strings.FieldsSeq(filter) {
		if !strings.Contains(text, word) {
			return not
		}
	}
	return !not
}

func (l *list[T]) selected() (row T, ok bool) {
	if l.cursor < 0 || l.cursor >= len(l.shown) {
		return row, false
	}
	return l.shown[l.cursor], true
}

// move moves the cursor by rows.
func (l *list[T]) move(by int) {
	l.cursor = max(0, min(l.cursor+by, len(l.shown)-1))
}

// seek moves the cursor to the row with a key, else to the first whose text has a
// word.
func (l *list[T]) seek(row string) bool {
	i := slices.IndexFunc(l.shown, func(r T) bool { return l.key(r) == row })
	if i < 0 {
		i = slices.IndexFunc(l.shown, func(r T) bool { return matches(row, l.text(r)) })
	}
	if i < 0 {
		return false
	}
	l.cursor = i
	return true
}

// click moves the cursor to the row in a line of the table. again: it was there.
func (l *list[T]) click(line int) (hit, again bool) {
	i := line - l.head
	if i < 0 || i >= l.rows || l.top+i >= len(l.shown) {
		return false, false
	}
	again, l.cursor = l.cursor == l.top+i, l.top+i
	return true, again
}

// mark marks the row under the cursor, or takes the mark away.
func (l *list[T]) mark() {
	if row, ok := l.selected(); ok {
		key := l.key(row)
		if l.marked[key] {
			delete(l.marked, key)
		} else {
			l.marked[key] = true
		}
		l.move(1)
	}
}

func (l *list[T]) filtered() string { return l.filter }
func (l *list[T]) count() int       { return len(l.shown) }
func (l *list[T]) place() string    { return place(l.cursor, len(l.shown)) }

// chosen are the marked rows, or the one under the cursor where none is marked.
func (l *list[T]) chosen() []T {
	var rows []T
	for _, row := range l.all {
		if l.marked[l.key(row)] {
			rows = append(rows, row)
		}
	}
	if row, ok := l.selected(); ok && len(rows) == 0 {
		rows = append(rows, row)
	}
	return rows
}

// window is the rows that are drawn in h lines: shown[from:to] has the cursor.
func (l *list[T]) window(h int) (from, to int) {
	h = max(1, h)
	l.top = max(0, min(l.top, l.cursor, len(l.shown)-h))
	if l.cursor >= l.top+h {
		l.top = l.cursor - h + 1
	}
	return l.top, min(len(l.shown), l.top+h)
}

// table draws the rows in a table w by h cells with its headings.
func (l *list[T]) table(t *draw.Theme, columns []draw.Column, w, h int, row func(T) []draw.Cell) []string {
	b := draw.Table{Columns: columns, Marked: map[int]bool{}, Bare: l.bare || h < 3}
	if !b.Bare {
		h--
	}
	from, to := l.window(h)
	l.head, l.rows = 0, to-from
	if !b.Bare {
		l.head = 1
	}
	if b.Cursor = l.cursor - from; l.away {
		b.Cursor = -1
	}
	for i, r := range l.shown[from:to] {
		b.Rows = append(b.Rows, row(r))
		b.Marked[i] = l.marked[l.key(r)]
	}
	return t.Table(b, w)
}
