package tui

import (
	"fmt"
	"reflect"
	"time"
)

// hostile are texts that a terminal, or a count of cells, stumbles over.
var hostile = []string{
	"\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "a\r\nb\x00", "tab\there", "\u202eesrever", "e\u0301te\u0301", "漢字かな",
	"👩‍👩‍👧 family", "zero\u200bwidth\ufeff", "\u0301first", "\x9b2J", "bad\xff\xfeutf8", "🇩🇪flag", "\u0600number", "ｆｕｌｌ",
	"\u200d\u200d", "ก็็็็็็", "\U000e0041tags", "a\u2028b", "",
}

// crowd is a backend of which every text has what say gives for its number: what a
// screen shows is in it, whatever fields come to be.
func crowd(n int, say func(int) string) *fake {
	f := &fake{}
	c := filler{n: n, say: say}
	for _, p := range []any{&f.standing, &f.sessions, &f.logins, &f.profiles, &f.providers, &f.vault, &f.events, &f.checks, &f.form, &f.imports} {
		c.fill(reflect.ValueOf(p).Elem())
	}
	f.standing.State = VaultOpen
	for i := range f.logins {
		f.logins[i].State = []string{"ok", "expiring", "refreshing", "offline", "needs login", say(i)}[i%6]
	}
	return f
}

// filler fills values of any type.
type filler struct {
	n    int // elements of a list
	say  func(int) string
	seen int
}

func (c *filler) fill(v reflect.Value) {
	c.seen++
	switch v.Kind() {
	case reflect.String:
		v.SetString(c.say(c.seen))
	case reflect.Bool:
		v.SetBool(c.seen%2 == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(c.seen % 100))
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(c.seen % 1000))
	case reflect.Uint8: // an enumeration
		v.SetUint(uint64(c.seen % 4))
	case reflect.Slice:
		n := c.n
		if v.Type().Elem().Kind() != reflect.Struct {
			n = min(n, 3)
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			c.fill(v.Index(i))
		}
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf(map[string]string{c.say(c.seen): c.say(c.seen + 1)}))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(at.Add(time.Duration(c.seen%90) * time.Second)))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				c.fill(v.Field(i))
			}
		}
	}
}

// tame are texts as they ought to be, hostileText as they may be.
func tame(i int) string        { return fmt.Sprintf("word%d", i) }
func hostileText(i int) string { return fmt.Sprintf("%s%d", hostile[i%len(hostile)], i) }
