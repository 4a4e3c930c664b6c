package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"kb/internal/audit"
	"kb/internal/broker"
)

// errAudit says that kb was not measured with its audit on, or that it lost
// lines: such figures are not printed.
var errAudit = errors.New("the audit does not tell of every request")

// checkAudit holds the audit of kb's session against what was asked of it: an
// intent and an outcome for each request, on a chain that verifies.
func (r *run) checkAudit() error {
	intents, outcomes, err := count(r.home.paths.Audit())
	if err != nil {
		return err
	}
	asked := r.subjects[own].asked.Load()
	if err := complete(asked, intents, outcomes); err != nil {
		return err
	}
	b, err := broker.Open(context.Background(), broker.Options{Paths: r.home.paths, Getenv: func(string) string { return "" }})
	if err != nil {
		return err
	}
	report, err := b.VerifyAudit()
	if err != nil {
		return err
	}
	if !report.OK() {
		return fmt.Errorf("%w: its chain does not verify", errAudit)
	}
	r.table.note("Requests through kb: %d answered; the audit has %d intents and %d outcomes, and verifies.", asked, len(intents), len(outcomes))
	return nil
}

// complete says what the audit lacks.
func complete(asked int64, intents, outcomes map[uint64]bool) error {
	if int64(len(intents)) < asked {
		return fmt.Errorf("%w: %d requests were answered, %d have an intent", errAudit, asked, len(intents))
	}
	for request := range intents {
		if !outcomes[request] {
			return fmt.Errorf("%w: request %d has no outcome", errAudit, request)
		}
	}
	return nil
}

// count reads which requests have an intent, and which an outcome.
func count(dir string) (intents, outcomes map[uint64]bool, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, nil, err
	}
	intents, outcomes = map[uint64]bool{}, map[uint64]bool{}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var line struct {
				Request uint64
				Phase   string
				Action  string
			}
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				_ = f.Close()
				return nil, nil, err
			}
			switch line.Phase {
			case audit.PhaseIntent:
				intents[line.Request] = true
			case audit.PhaseOutcome:
				outcomes[line.Request] = true
			}
		}
		_ = f.Close()
		if err := lines.Err(); err != nil {
			return nil, nil, err
		}
	}
	return intents, outcomes, nil
}
