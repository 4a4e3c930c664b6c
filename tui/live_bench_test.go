package tui

import (
	"testing"
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
