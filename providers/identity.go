package providers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// ErrNoAccount says that an identity answer holds no account's name.
var ErrNoAccount = errors.New("identity answer names no account")

// maxAccount bounds an account's name, in bytes; addresses are at most 254.
const maxAccount = 320

// Account reads the account's name from the endpoint's answer. What cannot be
// shown on a screen is dropped from it: the text is the vendor's.
func (id *Identity) Account(answer []byte) (string, error) {
	var v any
	if err := json.Unmarshal(answer, &v); err != nil {
		return "", fmt.Errorf("read identity answer: %w", ErrNoAccount)
	}
	for part := range strings.SplitSeq(id.Name, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(at) {
				return "", fmt.Errorf("read %q: %w", id.Name, ErrNoAccount)
			}
			v = at[i]
		default:
			return "", fmt.Errorf("read %q: %w", id.Name, ErrNoAccount)
		}
	}
	name := ""
	switch v := v.(type) {
	case string:
		name = v
	case float64:
		name = strconv.FormatFloat(v, 'f', -1, 64)
	}
	name = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name))
	if name == "" || len(name) > maxAccount {
		return "", fmt.Errorf("read %q: %w", id.Name, ErrNoAccount)
	}
	return name, nil
}
