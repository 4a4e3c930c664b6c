package secretref

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// 1Password's CLI reads its own references
// (https://developer.1password.com/docs/cli/reference/commands/read).

func checkOnePassword(p *reference) error {
	if strings.Count(strings.SplitN(p.name, "?", 2)[0], "/") < 2 {
		return errors.New("it is op://VAULT/ITEM/FIELD")
	}
	return nil
}

func fetchOnePassword(ctx context.Context, r *Resolver, p *reference, _ Source) ([]byte, error) {
	return r.run(ctx, "op", "read", "--no-newline", p.text)
}

// Bitwarden's CLI gives an item as JSON (https://bitwarden.com/help/cli/#get).
// It wants BW_SESSION of `bw unlock`.

func checkBitwarden(p *reference) error {
	if strings.HasPrefix(p.name, "-") {
		return errors.New("an item's name does not begin with a hyphen here: use its id")
	}
	return nil
}

func fetchBitwarden(ctx context.Context, r *Resolver, p *reference, _ Source) ([]byte, error) {
	if p.field == "totp" { // the item has the seed; the CLI makes the code
		return r.run(ctx, "bw", "--nointeraction", "get", "totp", p.name)
	}
	printed, err := r.run(ctx, "bw", "--nointeraction", "get", "item", p.name)
	if err != nil {
		return nil, err
	}
	var item struct {
		Login  struct{ Username, Password string }
		Notes  string
		Fields []struct{ Name, Value string }
	}
	if json.Unmarshal(printed, &item) != nil {
		return nil, errors.New("bw printed what is not JSON")
	}
	switch p.field {
	case "", "password":
		return []byte(item.Login.Password), nil
	case "username":
		return []byte(item.Login.Username), nil
	case "notes":
		return []byte(item.Notes), nil
	}
	for _, f := range item.Fields {
		if f.Name == p.field {
			return []byte(f.Value), nil
		}
	}
	return nil, fmt.Errorf("the item has no field %s", quote(p.field))
}

// SOPS decrypts a file, or one value of it
// (https://getsops.io/docs/#extract-a-sub-part-of-a-document-tree).

func checkSOPS(p *reference) error {
	if !filepath.IsAbs(p.name) {
		return errors.New("the path must be absolute")
	}
	if strings.ContainsAny(p.field, `"\[]`) {
		return errors.New("a key with quotes, brackets or backslashes cannot be named")
	}
	return nil
}

func fetchSOPS(ctx context.Context, r *Resolver, p *reference, s Source) ([]byte, error) {
	args := []string{"decrypt"}
	if p.field != "" {
		path := ""
		for _, key := range strings.Split(strings.TrimPrefix(p.field, "/"), "/") {
			path += `["` + key + `"]`
		}
		args = append(args, "--extract", path)
	}
	return r.run(ctx, "sops", append(args, s.Path)...)
}
