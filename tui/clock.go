package tui

import (
	"fmt"
	"sort"
	"time"
)

func sortByTime(requests []Request) {
	sort.SliceStable(requests, func(i, j int) bool { return requests[i].Asked.Before(requests[j].Asked) })
}

// clock is the time, for what is drawn. Each of its texts notes until when it is
// right, so that a second that changes no text draws nothing.
type clock struct {
	read func() time.Time
	// right is until when all that was said since it was zero stays right; zero: always.
	right time.Time
}

// now is the time itself: a frame that asks for it is drawn anew each second.
func (c *clock) now() time.Time {
	now := c.read()
	c.until(now)
	return now
}

// zone is where the times of day are of.
func (c *clock) zone() *time.Location { return c.read().Location() }

// until notes that what is said is right before t.
func (c *clock) until(t time.Time) {
	if c.right.IsZero() || t.Before(c.right) {
		c.right = t
	}
}

// countdown is what is left until t: "0:41", "7h58m", "3d"; "-" for no time, "over" when it has passed.
func (c *clock) countdown(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := t.Sub(c.read())
	says := func(unit time.Duration, format string, a ...any) string {
		whole := d.Truncate(unit)
		c.until(t.Add(-max(0, whole-1))) // a nanosecond after whole a unit less is left
		return fmt.Sprintf(format, a...)
	}
	switch {
	case d <= 0:
		return "over"
	case d < time.Hour:
		return says(time.Second, "%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return says(time.Minute, "%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return says(24*time.Hour, "%dd", int(d.Hours()/24))
}

// ago is how long ago t was: "now", "41s ago", "3d ago"; "-" for no time.
func (c *clock) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d, says := c.since(t)
	switch {
	case d < time.Second:
		return says(time.Second, "now")
	case d < time.Minute:
		return says(time.Second, "%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return says(time.Minute, "%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return says(time.Hour, "%dh ago", int(d.Hours()))
	}
	return says(24*time.Hour, "%dd ago", int(d.Hours()/24))
}

// lasted is how long something lasts that began at t: "41s", "12m", "1h02m", "3d".
func (c *clock) lasted(t time.Time) string {
	d, says := c.since(t)
	switch {
	case d < time.Minute:
		return says(time.Second, "%ds", int(d.Seconds()))
	case d < time.Hour:
		return says(time.Minute, "%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return says(time.Minute, "%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return says(24*time.Hour, "%dd", int(d.Hours()/24))
}

// since is the time since t, never negative, and makes a text of it in whole units.
func (c *clock) since(t time.Time) (d time.Duration, says func(unit time.Duration, format string, a ...any) string) {
	d = max(0, c.read().Sub(t))
	return d, func(unit time.Duration, format string, a ...any) string {
		c.until(t.Add(d.Truncate(unit) + unit))
		return fmt.Sprintf(format, a...)
	}
}

// moment is a time of day, with its date where that is another one than today's.
func (c *clock) moment(t time.Time) string {
	now := c.read()
	c.until(time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, now.Location()))
	t = t.In(now.Location())
	if t.Format(time.DateOnly) == now.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	if t.Year() == now.Year() {
		return t.Format("2 Jan 15:04")
	}
	return t.Format("2 Jan 2006")
}
