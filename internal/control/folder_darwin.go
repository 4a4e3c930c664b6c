package control

import (
	"fmt"
	"path/filepath"

	"kb/internal/hint"
)

// maxPath: bytes of sun_path less the NUL at its end (<sys/un.h>).
const maxPath = 103

// shorten cannot: there are no paths by descriptor.
func shorten(dir, name string) (path string, done func(), err error) {
	return "", nil, hint.Wrap(fmt.Errorf("use control socket %q: its path has more than %d bytes", filepath.Join(dir, name), maxPath),
		`run export XDG_RUNTIME_DIR="$TMPDIR", which is short and yours alone`)
}
