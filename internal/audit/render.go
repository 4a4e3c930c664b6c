package audit

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"kb/internal/plain"
)

// Line renders e for a person: time, session, profile, provider, action,
// method, host, path, status, and at the end what explains it. What is not
// known is "-". The time is in loc; nil means UTC. The text is safe for a
// terminal even where the file was tampered with.
func Line(e *Event, loc *time.Location) string {
	if loc == nil {
		loc = time.UTC
	}
	action := e.Action
	if action == "" {
		action = e.Phase
	}
	host := e.Host
	if e.Port != 0 && e.Port != 443 {
		host += ":" + strconv.Itoa(int(e.Port))
	}
	status := ""
	switch {
	case e.Status != 0:
		status = strconv.Itoa(e.Status)
	case e.Phase == PhaseIntent:
		status = "..." // the outcome has a line of its own
	}
	var b strings.Builder
	b.WriteString(e.Time.In(loc).Format("2006-01-02 15:04:05"))
	column(&b, e.Session, 10)
	column(&b, e.Profile, 8)
	column(&b, e.Provider, 10)
	column(&b, action, 7)
	column(&b, e.Method, 6)
	column(&b, host, 0)
	column(&b, e.Path, 0)
	column(&b, status, 0)
	for _, s := range []string{e.Reason, e.Error, e.Detail} {
		if s != "" {
			b.WriteString("  ")
			b.WriteString(plain.Clean(s))
		}
	}
	return b.String()
}

// JSON renders e as one JSON object and a line break, with the field names of the
// file. It is safe for a terminal even where the file was tampered with.
func JSON(e *Event) ([]byte, error) {
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return nil, err
	}
	return plain.JSON(line.Bytes()), nil
}

// column writes two spaces and s, padded to width characters.
func column(b *strings.Builder, s string, width int) {
	s = plain.Clean(s)
	if s == "" {
		s = "-"
	}
	b.WriteString("  ")
	b.WriteString(s)
	for n := len([]rune(s)); n < width; n++ {
		b.WriteByte(' ')
	}
}
