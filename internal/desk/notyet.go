package desk

import (
	"context"
	"time"

	"kb/internal/audit"
	"kb/internal/secret"
	"kb/tui"
)

// Not there yet.

func (d *Desk) AlwaysLine(context.Context, tui.Request) (string, error) { return "", errNotYet }

func (d *Desk) Doctor(context.Context, func(tui.Check)) error { return errNotYet }
