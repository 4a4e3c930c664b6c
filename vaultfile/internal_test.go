package vaultfile

import "time"

var testTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func sortRecords(p *payload) { sortByID(p.records) }
