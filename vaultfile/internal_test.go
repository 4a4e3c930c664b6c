package vaultfile

import (
	"slices"
	"strings"
	"time"
)

var testTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func sortRecords(p *payload) {
	slices.SortFunc(p.records, func(a, b record) int { return strings.Compare(a.id, b.id) })
}
