package desk

import (
	"context"

	"kb/tui"
)

// Doctor is not there yet.
func (d *Desk) Doctor(context.Context, func(tui.Check)) error { return errNotYet }
