package broker

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"

	"kb/internal/state"
)

// supportedSettings are the device settings that something reads so far.
var supportedSettings = []string{"git_dir", "isolation", "upstream_ca"}

// UnsupportedSettingError names a setting that this version of kb does not
// read: keeping it would promise what is not done.
type UnsupportedSettingError struct{ Key string }

func (e *UnsupportedSettingError) Error() string {
	return fmt.Sprintf("set %q: this version of kb does not use it", e.Key)
}

// Setting is a device setting. They carry trust, so they are kept in the
// device's encrypted state and not in a file that an agent can write.
type Setting struct{ Key, Value string }

// Settings lists the device settings that kb uses.
func (b *Broker) Settings() ([]Setting, error) {
	values, err := b.store.Settings()
	if err != nil {
		return nil, err
	}
	var out []Setting
	for _, key := range supportedSettings {
		value, err := values.Get(key)
		if err != nil {
			return nil, err
		}
		out = append(out, Setting{key, value})
	}
	return out, nil
}

// PutSetting changes a device setting; an empty value unsets it.
func (b *Broker) PutSetting(ctx context.Context, key, value string) error {
	if !slices.Contains(supportedSettings, key) && slices.Contains(state.SettingKeys(), key) {
		return &UnsupportedSettingError{key}
	}
	return b.store.PutSetting(ctx, key, value)
}

// DefaultTier is the isolation tier of kb exec when no flag names one.
func (b *Broker) DefaultTier() (string, error) {
	values, err := b.store.Settings()
	if values.Isolation == "" {
		values.Isolation = "auto"
	}
	return values.Isolation, err
}

// upstreamRoots are what verifies upstreams, and the same as PEM for the
// child's bundle: the system's roots, and the device's upstream CA if it has
// one. A nil pool means the system's.
func (b *Broker) upstreamRoots() (pool *x509.CertPool, bundle []byte, err error) {
	pool, bundle = b.roots, b.bundle
	if bundle == nil {
		if bundle, err = systemRoots(); err != nil {
			return nil, nil, err
		}
	}
	if b.store == nil { // the identity itself is being fetched
		return pool, bundle, nil
	}
	values, err := b.store.Settings()
	if err != nil || values.UpstreamCA == "" {
		return pool, bundle, err
	}
	if pool == nil {
		if pool, err = x509.SystemCertPool(); err != nil {
			return nil, nil, fmt.Errorf("read system roots: %w", err)
		}
	} else {
		pool = pool.Clone()
	}
	if !pool.AppendCertsFromPEM([]byte(values.UpstreamCA)) {
		return nil, nil, fmt.Errorf("read setting %q: no certificate in it", "upstream_ca")
	}
	return pool, slices.Concat(bundle, []byte("\n"), []byte(values.UpstreamCA), []byte("\n")), nil
}
