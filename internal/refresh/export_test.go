package refresh

import (
	"context"

	"kb/internal/atomicfile"
)

// SetStep has m tell f of each step of a refresh.
func (m *Manager) SetStep(f func(string)) { m.step = f }

// SetDisk has saves of m go to d.
func (m *Manager) SetDisk(d atomicfile.Disk) {
	m.ctx = atomicfile.WithDisk(context.Background(), d)
}
