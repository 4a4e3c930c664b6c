package main

import (
	"slices"
	"time"
)

// quantile is the value below which a share q of v lies; v is sorted by it.
func quantile[T float64 | time.Duration](v []T, q float64) T {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

func median[T float64 | time.Duration](v []T) T { return quantile(v, 0.5) }

// series collects one figure a round by subject.
type series map[string][]float64

func (s series) add(name string, v float64) { s[name] = append(s[name], v) }

func (s series) median(name string) float64 { return median(slices.Clone(s[name])) }

// ratio is the median of the rounds' ratios: what slows a whole round down
// falls out.
func (s series) ratio(a, b string) float64 {
	n := min(len(s[a]), len(s[b]))
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = s[a][i] / s[b][i]
	}
	return median(ratios)
}

// difference is the median of the rounds' differences.
func (s series) difference(a, b string) float64 {
	n := min(len(s[a]), len(s[b]))
	differences := make([]float64, n)
	for i := range n {
		differences[i] = s[a][i] - s[b][i]
	}
	return median(differences)
}
