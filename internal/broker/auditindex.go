package broker

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"kb/internal/audit"
	"kb/internal/state"
)

// auditIndex keeps the heads of audit files in the device's state: one blob a
// file, replaced each second while its session runs, and lists of the files, so
// that a file deleted together with its blob is still missed. A list is of one
// day, so that starting a session costs the same after a quarter of a year;
// the days are in a list of their own.
type auditIndex struct{ store *state.Store }

const (
	auditDays = "audit/days"
	auditDay  = "audit/day-"
	auditHead = "head/"
	// indexWait bounds the wait for another process that holds a list.
	indexWait = 5 * time.Second
)

// dayOf is the day of an audit file's name, 20061102T150405Z-SESSION.jsonl.
func dayOf(file string) string { return file[:min(len(file), len("20061102"))] }

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
			if err := x.add(h.File); err != nil {
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
	days, err := x.read(auditDays)
	if err != nil {
		return nil, err
	}
	var heads []audit.Head
	for _, day := range days {
		files, err := x.read(auditDay + day)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("read list of audit files of %s: it is gone", day)
		}
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
	}
	return heads, nil
}

// Forget implements audit.Index.
func (x auditIndex) Forget(files ...string) error {
	byDay := map[string][]string{}
	for _, file := range files {
		byDay[dayOf(file)] = append(byDay[dayOf(file)], file)
	}
	err := x.locked(func() error {
		for day, gone := range byDay {
			left, err := x.edit(auditDay+day, func(all []string) []string {
				return slices.DeleteFunc(all, func(f string) bool { return slices.Contains(gone, f) })
			})
			if err != nil {
				return err
			}
			if left > 0 {
				continue
			}
			if _, err := x.edit(auditDays, func(all []string) []string {
				return slices.DeleteFunc(all, func(d string) bool { return d == day })
			}); err != nil {
				return err
			}
			if err := x.store.Delete(auditDay + day); err != nil {
				return fmt.Errorf("keep list of audit files: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := x.store.Delete(auditHead + file); err != nil {
			return fmt.Errorf("forget audit head: %w", err)
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

// add lists a file, and its day if that is not listed. The file goes first:
// a day without a list is taken for one whose list was deleted.
func (x auditIndex) add(file string) error {
	return x.locked(func() error {
		_, err := x.edit(auditDay+dayOf(file), func(all []string) []string { return append(all, file) })
		if err != nil {
			return err
		}
		_, err = x.edit(auditDays, func(all []string) []string {
			if slices.Contains(all, dayOf(file)) {
				return all
			}
			return append(all, dayOf(file))
		})
		return err
	})
}

func (x auditIndex) read(list string) ([]string, error) {
	data, known, err := x.store.Get(list)
	if err != nil || !known {
		return nil, err
	}
	var names []string
	if err := json.Unmarshal(data, &names); err != nil {
		return nil, fmt.Errorf("read list of audit files: %w", err)
	}
	return names, nil
}

// edit changes a list, under the lock, and returns its new length.
func (x auditIndex) edit(list string, change func([]string) []string) (int, error) {
	names, err := x.read(list)
	if err != nil {
		return 0, err
	}
	before := slices.Clone(names)
	if names = change(names); slices.Equal(before, names) {
		return len(names), nil
	}
	data, err := json.Marshal(names)
	if err != nil {
		return 0, fmt.Errorf("keep list of audit files: %w", err)
	}
	return len(names), x.store.Put(list, data, false)
}

// locked runs f while no other process changes the lists.
func (x auditIndex) locked(f func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), indexWait)
	defer cancel()
	unlock, err := x.store.Lock(ctx, auditDays)
	if err != nil {
		return fmt.Errorf("lock list of audit files: %w", err)
	}
	defer func() { _ = unlock() }()
	return f()
}
