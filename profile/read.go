package profile

import (
	"context"
	"fmt"
	"path/filepath"
)

func readWorkspace(ctx context.Context, dir string, env Env) (Workspace, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Workspace{}, fmt.Errorf("read directory %q: %w", dir, err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return Workspace{}, fmt.Errorf("read directory %q: %w", dir, err)
	}
	return Workspace{Dir: real}, ctx.Err()
}
