package vaultrepo

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxCopies bounds how many conflicted copies are looked at in one go.
const maxCopies = 32

// Copies are the paths of "conflicted copies" beside the vault: what a file
// synchroniser makes of a file that two machines changed at once.
//
//	vault.sync-conflict-20260102-150405-ABCDEFG.age      Syncthing
//	vault (laptop's conflicted copy 2026-01-02).age      Dropbox
//	vault (conflicted copy 2026-01-02 150405).age        Nextcloud
//	vault_conflict-20260102-150405.age                   ownCloud, older Nextcloud
func Copies(vault string) []string {
	dir, base := filepath.Split(vault)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() && isCopy(e.Name(), base) && len(out) < maxCopies {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(out)
	return out
}

// isCopy reports whether a name is that of a conflicted copy of base.
func isCopy(name, base string) bool {
	ext := filepath.Ext(base)
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(base, ext))
	if !ok {
		return false
	}
	if rest, ok = strings.CutSuffix(rest, ext); !ok || rest == "" {
		return false
	}
	if strings.HasPrefix(rest, ".sync-conflict-") || strings.HasPrefix(rest, "_conflict-") {
		return true
	}
	return strings.HasPrefix(rest, " (") && strings.HasSuffix(rest, ")") && strings.Contains(strings.ToLower(rest), "conflicted copy")
}
