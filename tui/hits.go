package tui

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// hits are the rows of a trail that have the words of a filter: the words of
// [matches], looked for in what the row shows. Without a filter they are all rows
// and cost nothing. A filter is worked off a chunk at a time, the newest first
// (step), so that a key never waits for 100,000 lines.
type hits struct {
	t      *trail
	zone   *time.Location // that times are shown in
	filter string
	words  []string
	not    bool
	older  []int64 // by falling number
	newer  []int64 // by rising number; all above those of older
	gone   int     // newer[:gone] are dropped
	todo   int64   // rows below are not looked at yet
}

// set looks for another filter: in the newest rows at once, in the others by
// step.
func (h *hits) set(filter string) {
	h.filter = filter
	rest, not := strings.CutPrefix(strings.ToLower(strings.TrimSpace(filter)), "!")
	h.words, h.not = strings.Fields(rest), not
	h.reset()
}

// reset begins anew: the trail is another.
func (h *hits) reset() {
	h.older, h.newer, h.gone = h.older[:0], h.newer[:0], 0
	h.todo = h.t.end()
	h.step()
}

// all reports whether there is no filter.
func (h *hits) all() bool { return len(h.words) == 0 }

// done reports whether every row was looked at.
func (h *hits) done() bool { return h.all() || h.todo <= h.t.first() }

// step looks at a further chunk.
func (h *hits) step() {
	if h.done() {
		return
	}
	_, c := h.t.chunkOf(h.todo - 1)
	has := make([][]bool, len(h.words)) // by word and text of the chunk
	for w := range h.words {
		has[w] = make([]bool, len(c.texts))
	}
	for i, text := range c.texts {
		low := strings.ToLower(text)
		for w, word := range h.words {
			has[w][i] = strings.Contains(low, word)
		}
	}
	for i := int(h.todo - 1 - c.first); i >= 0; i-- {
		if h.match(c, &c.rows[i], func(word int, text uint16) bool { return has[word][text] }) {
			h.older = append(h.older, c.first+int64(i))
		}
	}
	h.todo = c.first
}

// match reports whether a row is a hit; has tells whether a text of its chunk has
// one of the words.
func (h *hits) match(c *chunk, r *auditRow, has func(word int, text uint16) bool) bool {
	for i, word := range h.words {
		if !h.shows(c, r, word, func(text uint16) bool { return has(i, text) }) {
			return h.not
		}
	}
	return !h.not
}

// matchRow is match of a single row.
func (h *hits) matchRow(row int64) bool {
	_, c := h.t.chunkOf(row)
	return h.match(c, &c.rows[row-c.first], func(word int, text uint16) bool {
		return strings.Contains(strings.ToLower(c.texts[text]), h.words[word])
	})
}

// shows reports whether a row has a word in what it shows.
func (h *hits) shows(c *chunk, r *auditRow, word string, has func(text uint16) bool) bool {
	for i, text := range r.texts {
		if (i != textPhase || r.texts[textAction] == 0) && text != 0 && has(text) {
			return true
		}
	}
	text := func(i int) string { return c.texts[r.texts[i]] }
	if strings.Contains(word, "/") { // it may go over the seam of two texts
		if strings.Contains(strings.ToLower(text(textHost)+text(textPath)), word) ||
			strings.Contains(strings.ToLower(text(textProvider)+"/"+text(textLogin)), word) {
			return true
		}
	}
	if word[0] < '0' || word[0] > ':' {
		return false
	}
	return r.status != 0 && strings.Contains(strconv.Itoa(int(r.status)), word) ||
		r.port != 0 && r.port != 443 && strings.Contains(":"+strconv.Itoa(int(r.port)), word) ||
		strings.Contains(clockTime(time.UnixMicro(r.at).In(h.zone)), word)
}

// clockTime is a time of day as rows show it.
func clockTime(t time.Time) string { return t.Format("15:04:05") }

// added takes a row that was put at the end, or to which a line was joined.
func (h *hits) added(row int64, joined bool) {
	switch {
	case h.all():
		return
	case !joined:
		if h.matchRow(row) {
			h.newer = append(h.newer, row)
		}
	case row >= h.todo:
		h.again(row)
	}
	h.drop()
}

// again looks at a row once more that has changed.
func (h *hits) again(row int64) {
	i := h.find(row)
	was := i < h.len() && h.at(i) == row
	if is := h.matchRow(row); is == was {
		return
	}
	// It is among the newest, nearly always: an outcome follows its intent.
	j := i - len(h.older)
	switch {
	case j >= 0 && was:
		h.newer = slices.Delete(h.newer, h.gone+j, h.gone+j+1)
	case j >= 0:
		h.newer = slices.Insert(h.newer, h.gone+j, row)
	case was:
		h.older = slices.Delete(h.older, -1-j, -j)
	default:
		h.older = slices.Insert(h.older, -j, row)
	}
}

// drop forgets hits that the trail has dropped.
func (h *hits) drop() {
	first := h.t.first()
	for n := len(h.older); n > 0 && h.older[n-1] < first; n-- {
		h.older = h.older[:n-1]
	}
	for h.gone < len(h.newer) && h.newer[h.gone] < first && len(h.older) == 0 {
		h.gone++
	}
	if h.gone > chunkRows && h.gone > len(h.newer)/2 {
		h.newer = append(h.newer[:0], h.newer[h.gone:]...)
		h.gone = 0
	}
}

func (h *hits) len() int {
	if h.all() {
		return h.t.len()
	}
	return len(h.older) + len(h.newer) - h.gone
}

// at is the row of the hit i, counted from the oldest.
func (h *hits) at(i int) int64 {
	switch {
	case h.all():
		return h.t.first() + int64(i)
	case i < len(h.older):
		return h.older[len(h.older)-1-i]
	}
	return h.newer[h.gone+i-len(h.older)]
}

// find is the place of a row among the hits, or of the next one after it.
func (h *hits) find(row int64) int {
	if h.all() {
		return int(max(0, min(row-h.t.first(), int64(h.t.len()))))
	}
	return sort.Search(h.len(), func(i int) bool { return h.at(i) >= row })
}
