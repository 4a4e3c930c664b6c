package tui

import (
	"testing"

	tea "github.com/charmbracelet/bubbletea"
)

func BenchmarkTrailAdd(b *testing.B) {
	events := requests(20_000, at)
	b.ReportAllocs()
	b.ResetTimer()
	tr := newTrail(trailMax)
	for i := range b.N {
		tr.add(&events[i%len(events)])
	}
}

// BenchmarkAuditView100k is a frame of 200 by 60 with 100,000 lines held.
func BenchmarkAuditView100k(b *testing.B) {
	m := loaded(b, trailMax-5000).m
	b.ReportAllocs()
	for b.Loop() {
		_ = m.View()
	}
}

// BenchmarkAuditKey is a key with the frame after it.
func BenchmarkAuditKey(b *testing.B) {
	m := loaded(b, trailMax-5000).m
	b.ReportAllocs()
	keys := []tea.KeyMsg{keyMsg("k"), keyMsg("ctrl+u"), keyMsg("g"), keyMsg("G")}
	for i := 0; b.Loop(); i++ {
		m.Update(keys[i%len(keys)])
		_ = m.View()
	}
}

// BenchmarkAuditBatch is what 50 events cost, of which a second brings twenty times
// as many at 1,000 events a second.
func BenchmarkAuditBatch(b *testing.B) {
	m := loaded(b, trailMax-5000).m
	batch := auditBatch(requests(40, at)[:50])
	b.ReportAllocs()
	for b.Loop() {
		m.Update(batch)
	}
}

// BenchmarkHomeView is a frame of Home with 1,000 logins.
func BenchmarkHomeView(b *testing.B) {
	f := acme()
	for len(f.logins) < 1000 {
		f.logins = append(f.logins, f.logins[len(f.logins)%5])
	}
	board := newBoard(b, f, 200, 60)
	b.ReportAllocs()
	for b.Loop() {
		_ = board.m.View()
	}
}
