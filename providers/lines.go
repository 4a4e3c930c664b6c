package providers

import (
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lineIndex is the line on which each key of a document stands, by the paths
// that [Problem] uses: "inject[1].hosts[0]".
type lineIndex map[string]int

// of returns the line of a path, or of the nearest thing around it; 0 when there
// is none.
func (l lineIndex) of(at string) int {
	for at != "" {
		if line, ok := l[at]; ok {
			return line
		}
		cut := max(strings.LastIndexByte(at, '.'), strings.LastIndexByte(at, '['))
		if cut < 0 {
			return 0
		}
		at = at[:cut]
	}
	return 0
}

// lineMap walks the syntax tree of a text that has been decoded already.
func lineMap(text []byte) lineIndex {
	w := lineWalker{lines: lineIndex{}, count: map[string]int{}}
	w.p.Reset(text)
	table := ""
	for w.p.NextExpression() {
		e := w.p.Expression()
		if e.Kind == unstable.KeyValue {
			w.keyValue(table, e)
			continue
		}
		if e.Kind != unstable.Table && e.Kind != unstable.ArrayTable {
			continue
		}
		table = ""
		line := 0
		for it := e.Key(); it.Next(); {
			table = join(table, string(it.Node().Data))
			line = w.line(it.Node())
			switch {
			case it.IsLast() && e.Kind == unstable.ArrayTable:
				w.count[table]++
				table = fmt.Sprintf("%s[%d]", table, w.count[table]-1)
			case w.count[table] > 0: // [[inject.repository]] belongs to the last [[inject]]
				table = fmt.Sprintf("%s[%d]", table, w.count[table]-1)
			}
		}
		w.note(table, line)
	}
	return w.lines
}

type lineWalker struct {
	p     unstable.Parser
	lines lineIndex
	count map[string]int // array tables seen, by path
}

func (w *lineWalker) line(n *unstable.Node) int { return w.p.Shape(n.Raw).Start.Line }

func (w *lineWalker) note(at string, line int) {
	if _, ok := w.lines[at]; !ok {
		w.lines[at] = line
	}
}

func (w *lineWalker) keyValue(prefix string, kv *unstable.Node) {
	at, line := prefix, 0
	for it := kv.Key(); it.Next(); {
		at = join(at, string(it.Node().Data))
		line = w.line(it.Node())
		w.note(at, line)
	}
	w.value(at, line, kv.Value())
}

// value notes the elements of arrays and inline tables. Line is the key's, for
// nodes of which the parser keeps no place.
func (w *lineWalker) value(at string, line int, v *unstable.Node) {
	switch v.Kind {
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			element := fmt.Sprintf("%s[%d]", at, i)
			here := line
			if it.Node().Raw.Length > 0 {
				here = w.line(it.Node())
			}
			w.note(element, here)
			w.value(element, here, it.Node())
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			w.keyValue(at, it.Node())
		}
	}
}

func join(prefix, key string) string {
	if prefix == "" {
		return key
	}
	return prefix + "." + key
}
