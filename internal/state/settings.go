package state

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Settings are the device settings that carry trust. They are here and not in
// config.toml because an agent can write that.
type Settings struct {
	// UpstreamCA holds certificates in PEM, trusted for upstreams beside the
	// system's. The certificates themselves, because a path could be given
	// other content.
	UpstreamCA string `json:"upstream_ca,omitempty"`
	// UpstreamProxy is an http or https URL, with credentials if it needs any.
	UpstreamProxy string `json:"upstream_proxy,omitempty"`
	// Resolver is the DNS server to ask, ADDRESS or ADDRESS:PORT. Empty is the
	// system's.
	Resolver string `json:"resolver,omitempty"`
	// Isolation is the default tier of kb exec. Empty is "auto".
	Isolation string `json:"isolation,omitempty"`
	// GitDir is the git directory of the repository that the vault is in, where
	// kb does not find it by itself: a bare one in a place of the user's own.
	// It is here because git runs what a repository's configuration says, and
	// an agent must not choose whose.
	GitDir string `json:"git_dir,omitempty"`
	// Hooks are the agents that kb hook wraps, by program name.
	Hooks []string `json:"hooks,omitempty"`
}

// SettingKeys are the keys that Get and Set take.
func SettingKeys() []string {
	return []string{"git_dir", "hooks", "isolation", "resolver", "upstream_ca", "upstream_proxy"}
}

const settingsBlob = "setting/device"

// Settings returns the device settings.
func (s *Store) Settings() (Settings, error) {
	var v Settings
	_, err := s.getJSON(settingsBlob, &v)
	return v, err
}

// PutSetting sets one setting from text, after checking it; empty text unsets
// it. Hooks are separated by commas.
func (s *Store) PutSetting(ctx context.Context, key, value string) error {
	return s.locked(ctx, settingsBlob, func() error {
		v, err := s.Settings()
		if err != nil {
			return err
		}
		if err := v.set(key, value); err != nil {
			return err
		}
		return s.putJSON(settingsBlob, v)
	})
}

// Get returns a setting as text. A proxy's credentials are not shown.
func (v *Settings) Get(key string) (string, error) {
	switch key {
	case "git_dir":
		return v.GitDir, nil
	case "hooks":
		return strings.Join(v.Hooks, ","), nil
	case "isolation":
		return v.Isolation, nil
	case "resolver":
		return v.Resolver, nil
	case "upstream_ca":
		return v.UpstreamCA, nil
	case "upstream_proxy":
		if u, err := url.Parse(v.UpstreamProxy); err == nil {
			return u.Redacted(), nil
		}
		return "", nil
	}
	return "", unknownSetting(key)
}

func unknownSetting(key string) error { return fmt.Errorf("setting %q: %w", key, ErrNotFound) }

func (v *Settings) set(key, value string) (err error) {
	bad := func(what string) error { return fmt.Errorf("set %q: %s: %w", key, what, ErrInvalid) }
	switch key {
	case "git_dir":
		if value != "" && (!filepath.IsAbs(value) || strings.ContainsRune(value, 0)) {
			return bad("not an absolute path")
		}
		v.GitDir = value
	case "hooks":
		v.Hooks = nil
		for h := range strings.SplitSeq(value, ",") {
			if h = strings.TrimSpace(h); h == "" {
				continue
			}
			if strings.ContainsAny(h, "/ \t\r\n\x00'\"$`\\;&|<>()") {
				return bad("not the name of a program")
			}
			v.Hooks = append(v.Hooks, h)
		}
		slices.Sort(v.Hooks)
		v.Hooks = slices.Compact(v.Hooks)
	case "isolation":
		if value != "" && !slices.Contains([]string{"auto", "off", "hardened", "hidden", "locked"}, value) {
			return bad("not one of auto, off, hardened, hidden, locked")
		}
		v.Isolation = value
	case "resolver":
		if value != "" && !validResolver(value) {
			return bad("not an IP address, or one with a port")
		}
		v.Resolver = value
	case "upstream_ca":
		if value != "" && !validCA(value) {
			return bad("not certificates in PEM")
		}
		v.UpstreamCA = value
	case "upstream_proxy":
		if value != "" && !validProxy(value) {
			return bad("not an http or https URL of a host") // it may hold a password
		}
		v.UpstreamProxy = value
	default:
		return unknownSetting(key)
	}
	return nil
}

func validResolver(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	a, err := netip.ParseAddrPort(s)
	return err == nil && a.Port() != 0
}

func validCA(s string) bool {
	rest, n := []byte(s), 0
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			return n > 0 && strings.TrimSpace(string(rest)) == ""
		}
		if b.Type != "CERTIFICATE" {
			return false
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return false
		}
		n++
	}
}

func validProxy(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return false
	}
	if strings.HasSuffix(u.Host, ":") {
		return false
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		return err == nil && n > 0
	}
	_, _, err = net.SplitHostPort(net.JoinHostPort(u.Hostname(), "80"))
	return err == nil
}
