package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Export writes the events in dir that f takes to a new file of mode 0600, by time:
// a JSON object a line, or else what [Line] has for a person, in loc. It returns how
// many it wrote, and how many lines of the audit it could not read, on which [Verify]
// has more to say. A file that is there is left alone, and one that could not be
// written whole is removed.
func Export(ctx context.Context, dir string, f Filter, path string, asJSON bool, loc *time.Location) (lines, unread int, err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // a person names it
	if err != nil {
		return 0, 0, fmt.Errorf("export audit: %w", err)
	}
	defer func() {
		if closeErr := file.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("export audit: %w", closeErr)
		}
		if err != nil {
			_ = os.Remove(path)
		}
	}()
	out := bufio.NewWriter(file)
	for e, err := range Read(dir, f) {
		var bad *LineError
		switch {
		case errors.As(err, &bad):
			unread++
			continue
		case err != nil:
			return 0, 0, err
		case asJSON:
			var line []byte
			if line, err = JSON(&e); err == nil {
				_, err = out.Write(line)
			}
		default:
			_, err = io.WriteString(out, Line(&e, loc)+"\n")
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return 0, 0, fmt.Errorf("export audit: %w", err)
		}
		lines++
	}
	if err := out.Flush(); err != nil {
		return 0, 0, fmt.Errorf("export audit: %w", err)
	}
	return lines, unread, nil
}
