package main

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// startUp measures programs from start to end: kb with a big vault in a big
// repository.
func (r *run) startUp(ctx context.Context) error {
	h, err := newHome(ctx, filepath.Join(r.dir, "big"), false, r.logins, 200)
	if err != nil {
		return err
	}
	if err := h.clone(ctx, r.files, 900); err != nil {
		return err
	}
	const bare, exec, which, version = "true", "kb exec -- true", "kb which", "kb version"
	commands := map[string][]string{
		bare: {"true"}, exec: {r.kb, "exec", "--", "true"}, which: {r.kb, "which"}, version: {r.kb, "version"},
	}
	order := []string{bare, exec, which, version}
	took, over := map[string][]time.Duration{}, []time.Duration{}
	for i := range r.starts + 1 {
		for _, name := range order {
			d, err := h.time(ctx, commands[name])
			if err != nil {
				return err
			}
			if i > 0 { // the first of each fills caches, and pins the directory
				took[name] = append(took[name], d)
			}
		}
		if i > 0 {
			over = append(over, took[exec][i-1]-took[bare][i-1])
		}
	}
	r.table.target(fmt.Sprintf("kb exec -- true over true, p50 (%d logins, %d files)", r.logins, r.files), atMost(12, "ms"), ms(median(over)))
	r.table.target("kb version, p50", atMost(8, "ms"), ms(median(took[version])))
	r.table.target("kb which, p50", atMost(12, "ms"), ms(median(took[which])))
	r.table.note("Of those, `true` alone: p50 %.1f ms. p90 of kb exec over true: %.1f ms.", ms(median(took[bare])), ms(quantile(over, 0.9)))
	return nil
}

// time runs a command in the repository and returns how long it took.
func (h *home) time(ctx context.Context, args []string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var output bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = h.repo, h.environ(), &output
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	if err != nil {
		return 0, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(output.Bytes()))
	}
	return took, nil
}
