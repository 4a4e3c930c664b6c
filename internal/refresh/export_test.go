package refresh

import (
	"context"
	"os"
	"time"

	"kb/internal/atomicfile"
)

// SetStep has m tell f of each step of a refresh.
func (m *Manager) SetStep(f func(string)) { m.step = f }

// SetPatience has m wait so long for a worker.
func (m *Manager) SetPatience(d time.Duration) { m.patience = d }

// SetDisk has saves of m go to d.
func (m *Manager) SetDisk(d atomicfile.Disk) {
	m.ctx = atomicfile.WithDisk(context.Background(), d)
}

// NewClient is a worker's HTTP client.
var NewClient = newClient

// Work is a worker's life, with a step told of and a disk of the test's.
func Work(step func(string), disk atomicfile.Disk, stand time.Duration) int {
	return work(os.Stdin, os.Stdout, workerOptions{step: step, ctx: atomicfile.WithDisk(context.Background(), disk), stand: stand})
}
