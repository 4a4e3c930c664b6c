package secretref

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Errors of a file.
var (
	errNotRegular = errors.New("not a regular file")
	errClosed     = errors.New("that file is not for references")
)

// systemFolders hold no file that a person wrote: what the kernel answers there
// is about the process that reads it, kb itself.
var systemFolders = []string{"/proc", "/sys", "/dev"}

// sourceFile finds the file itself, so that a symbolic link which points
// elsewhere later is another source.
func sourceFile(_ context.Context, r *Resolver, p *reference) (Source, error) {
	path, err := filepath.EvalSymlinks(p.name)
	if errors.Is(err, fs.ErrNotExist) {
		path, err = filepath.Clean(p.name), nil // reading it says so
	}
	if err != nil {
		return Source{}, withoutPath(err)
	}
	for _, folder := range append(systemFolders, r.o.Closed...) {
		if closed, err := filepath.EvalSymlinks(folder); err == nil {
			folder = closed
		}
		if path == folder || strings.HasPrefix(path, folder+string(filepath.Separator)) {
			return Source{}, errClosed
		}
	}
	return Source{Path: path}, nil
}

func fetchFile(_ context.Context, _ *Resolver, _ *reference, s Source) ([]byte, error) {
	return readRegular(s.Path, maxValue)
}

// readRegular reads a file at a path without symbolic links. It waits for no
// pipe and opens no device.
func readRegular(path string, most int64) ([]byte, error) {
	f, err := openPlain(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, withoutPath(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("longer than %d bytes", most)
	}
	return data, nil
}

// withoutPath drops the path from an error: the reference says it already, and
// what it leads to is not for everybody who reads the message.
func withoutPath(err error) error {
	var at *os.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
