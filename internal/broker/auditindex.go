package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"kb/internal/audit"
	"kb/internal/state"
)

// auditIndex keeps the heads of audit files in the device's state: one blob a
// file, replaced each second while its session runs, and one that lists the
// files, so that a file deleted together with its blob is still missed.
type auditIndex struct{ store *state.Store }

const (
	auditFiles = "audit/files"
	auditHead  = "head/"
	// indexWait bounds the wait for another process that holds the list.
	indexWait = 5 * time.Second
)

// Seal implements audit.Sealer.
func (x auditIndex) Seal(heads ...audit.Head) error {
	for _, h := range heads {
		old, known, err := x.head(h.File)
		if err != nil {
			return err
		}
		if err := audit.CheckSeal(old, h); err != nil {
			return err
		}
		if !known {
			if err := x.list(func(files []string) []string { return append(files, h.File) }); err != nil {
				return err
			}
		}
		data, err := json.Marshal(h)
		if err != nil {
			return fmt.Errorf("seal audit head: %w", err)
		}
		if err := x.store.Put(auditHead+h.File, data, !idle(h)); err != nil {
			return fmt.Errorf("seal audit head: %w", err)
		}
	}
	return nil
}

// idle reports whether a head tells of nothing but a session's start, or its
// start and stop. It is on the path of every short command, and what a power
// cut could lose is a file in which nothing was asked for.
func idle(h audit.Head) bool { return h.Count == 0 || h.Closed && h.Part == 1 && h.Count <= 2 }

// Heads implements audit.HeadReader. A listed file whose head is gone is given
// as one that had a line, so that it is missed.
func (x auditIndex) Heads() ([]audit.Head, error) {
	files, err := x.files()
	if err != nil {
		return nil, err
	}
	heads := make([]audit.Head, 0, len(files))
	for _, file := range files {
		h, known, err := x.head(file)
		if err != nil {
			return nil, err
		}
		if !known {
			h = audit.Head{File: file, Count: 1}
		}
		heads = append(heads, h)
	}
	return heads, nil
}

// Forget implements audit.Index.
func (x auditIndex) Forget(files ...string) error {
	err := x.list(func(all []string) []string {
		return slices.DeleteFunc(all, func(f string) bool { return slices.Contains(files, f) })
	})
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := x.store.Delete(auditHead + file); err != nil && !errors.Is(err, state.ErrNotFound) {
			return err
		}
	}
	return nil
}

func (x auditIndex) head(file string) (h audit.Head, known bool, err error) {
	data, known, err := x.store.Get(auditHead + file)
	if err != nil || !known {
		return h, false, err
	}
	if err := json.Unmarshal(data, &h); err != nil {
		return h, false, fmt.Errorf("read audit head of %q: %w", file, err)
	}
	return h, true, nil
}

func (x auditIndex) files() ([]string, error) {
	data, known, err := x.store.Get(auditFiles)
	if err != nil || !known {
		return nil, err
	}
	var files []string
	if err := json.Unmarshal(data, &files); err != nil {
		return nil, fmt.Errorf("read list of audit files: %w", err)
	}
	return files, nil
}

// list changes the list of files under its lock.
func (x auditIndex) list(change func([]string) []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), indexWait)
	defer cancel()
	unlock, err := x.store.Lock(ctx, auditFiles)
	if err != nil {
		return fmt.Errorf("lock list of audit files: %w", err)
	}
	defer func() { _ = unlock() }()
	files, err := x.files()
	if err != nil {
		return err
	}
	data, err := json.Marshal(change(files))
	if err != nil {
		return fmt.Errorf("keep list of audit files: %w", err)
	}
	return x.store.Put(auditFiles, data, false)
}
