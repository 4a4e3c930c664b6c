package broker

import (
	"context"
	"errors"

	"kb/vaultfile"
)

// Doubt is why this device refuses the selected vault, nil if it does not.
func (b *Broker) Doubt(ctx context.Context) error {
	return b.openVault(ctx, b.selected)
}

// CanAccept reports whether a person may take a vault in spite of such an
// error: it is whole, and older, edited apart or another one. A vault that no
// trusted device signed is not: whoever forges one would ask for just that.
func CanAccept(err error) bool {
	var busy *OperationError
	var unmerged *UnmergedError
	if errors.As(err, &busy) || errors.As(err, &unmerged) {
		return false // git has the file: what it is when git is done is the question
	}
	return errors.Is(err, vaultfile.ErrRollback) || errors.Is(err, vaultfile.ErrForked) || errors.Is(err, vaultfile.ErrForeignVault)
}

// AcceptVault takes the selected vault as it is on the disk as the one to
// believe from now on. That is a person's decision.
func (b *Broker) AcceptVault(ctx context.Context) error {
	v := b.selected
	return b.write(ctx, v, func() (*vaultfile.File, error) { return vaultfile.Accept(ctx, v.path, b.identity, v.memory) })
}
