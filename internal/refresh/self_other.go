//go:build !linux

package refresh

import "os"

func selfPath() (string, error) { return os.Executable() }
