package secretref

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"

	"kb/internal/secret"
)

// HashiCorp Vault and OpenBao, which share the API of their KV engine
// (https://openbao.org/api-docs/secret/kv/kv-v2/,
// https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2). A reference
// names no server: that is VAULT_ADDR's (or BAO_ADDR's), and the token goes to the
// server that this device has first used and to no other.

// vaultAnchor is the anchor of the server that tokens are for.
const vaultAnchor = "vault-address"

// ServerError says that the environment names another server than the one that
// this device's token is for.
type ServerError struct{ Was, Now string }

func (e *ServerError) Error() string {
	return fmt.Sprintf("VAULT_ADDR is %s, and was %s when a vault:// reference was first used here: the token does not go to another server", e.Now, e.Was)
}

func checkVault(p *reference) error {
	parts := strings.Split(p.name, "/")
	if len(parts) < 2 {
		return errors.New("it is vault://MOUNT/PATH#FIELD")
	}
	for _, part := range parts {
		if part == "" || part == "." || part == ".." {
			return errors.New("its path has an empty part, or one of dots")
		}
	}
	if kv := p.query["kv"]; kv != "" && kv != "1" && kv != "2" {
		return errors.New("?kv= is 1 or 2")
	}
	return nil
}

// vaultServer is a server with a token for it.
type vaultServer struct {
	r         *Resolver
	address   *url.URL
	token     secret.Value
	namespace string
}

// vaultVariable reads VAULT_x, or OpenBao's name for it.
func (r *Resolver) vaultVariable(name string) string {
	if v := r.o.Getenv("BAO_" + name); v != "" {
		return v
	}
	return r.o.Getenv("VAULT_" + name)
}

func (r *Resolver) vaultServer(ctx context.Context, p *reference) (*vaultServer, error) {
	text := r.vaultVariable("ADDR")
	if text == "" {
		return nil, errors.New("VAULT_ADDR names no server")
	}
	address, err := url.Parse(text)
	if err != nil || address.Host == "" || address.User != nil || address.RawQuery != "" || address.Scheme != "https" && !loopbackHTTP(address) {
		return nil, errors.New("VAULT_ADDR is not an https:// address (http:// only on this machine)")
	}
	if r.o.Anchors != nil {
		was, ok, err := r.o.Anchors.Anchor(vaultAnchor)
		if err != nil {
			return nil, err
		}
		if ok && was != origin(text) {
			return nil, &ServerError{was, origin(text)}
		}
		if !ok {
			if err := r.o.Anchors.SetAnchor(ctx, vaultAnchor, origin(text)); err != nil {
				return nil, err
			}
		}
	}
	s := &vaultServer{r: r, address: address, namespace: p.query["namespace"], token: secret.New(r.vaultVariable("TOKEN"))}
	if s.namespace == "" {
		s.namespace = r.vaultVariable("NAMESPACE")
	}
	if s.token.IsZero() { // where `vault login` keeps it
		if path, err := filepath.EvalSymlinks(filepath.Join(r.o.Home, ".vault-token")); err == nil {
			if data, err := readRegular(path, maxReference); err == nil {
				s.token = secret.New(strings.TrimSpace(string(data)))
			}
		}
	}
	if s.token.IsZero() {
		return nil, errors.New("no token: set VAULT_TOKEN, or run vault login")
	}
	if s.token.Check() != nil {
		return nil, errors.New("the token holds a line break")
	}
	return s, nil
}

// origin is the scheme, host and port of an address; empty for what is none.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func loopbackHTTP(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// get reads an API path, whose parts are escaped here.
func (s *vaultServer) get(ctx context.Context, query string, parts ...string) (int, []byte, error) {
	u := *s.address
	path := strings.TrimSuffix(u.Path, "/") + "/v1"
	raw := path
	for _, part := range parts {
		path += "/" + part
		raw += "/" + url.PathEscape(part)
	}
	u.Path, u.RawPath, u.RawQuery = path, raw, query
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, nil, errors.New("the path cannot be asked for")
	}
	request.Header.Set("X-Vault-Token", s.token.Reveal())
	request.Header.Set("X-Vault-Request", "true")
	if s.namespace != "" {
		request.Header.Set("X-Vault-Namespace", s.namespace)
	}
	return s.r.do(ctx, request)
}

// mount finds the engine of a path and its version, as the vault command does:
// by the server's own answer, which whoever may read the path may ask for. A
// server that does not say is taken to have version 2 at the first part.
func (s *vaultServer) mount(ctx context.Context, parts []string) (mount int, v2 bool) {
	status, body, err := s.get(ctx, "", append([]string{"sys", "internal", "ui", "mounts"}, parts...)...)
	var out struct {
		Data struct {
			Path    string
			Options struct{ Version string }
		}
	}
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &out) != nil {
		return 1, true
	}
	mount = len(strings.Split(strings.Trim(out.Data.Path, "/"), "/"))
	if mount >= len(parts) || strings.Join(parts[:mount], "/") != strings.Trim(out.Data.Path, "/") {
		return 1, true
	}
	return mount, out.Data.Options.Version == "2"
}

func fetchVault(ctx context.Context, r *Resolver, p *reference, _ Source) ([]byte, error) {
	s, err := r.vaultServer(ctx, p)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(p.name, "/")
	mount, v2 := s.mount(ctx, parts)
	if kv := p.query["kv"]; kv != "" {
		v2 = kv == "2"
	}
	query := ""
	if v2 {
		parts = append(append(append([]string{}, parts[:mount]...), "data"), parts[mount:]...)
		if v := p.query["version"]; v != "" {
			query = url.Values{"version": {v}}.Encode()
		}
	} else if p.query["version"] != "" {
		return nil, errors.New("version 1 of the KV engine keeps no versions")
	}
	status, body, err := s.get(ctx, query, parts...)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, &StatusError{Host: s.address.Host, Status: status}
	}
	var out struct {
		Data map[string]json.RawMessage
	}
	err = json.Unmarshal(body, &out)
	data := out.Data
	if v2 && err == nil {
		data = nil
		err = json.Unmarshal(out.Data["data"], &data)
	}
	if err != nil || len(data) == 0 {
		return nil, fmt.Errorf("%s answered with no values", s.address.Host)
	}
	return vaultField(p, data)
}

// vaultField is the field that the reference names, or the only one.
func vaultField(p *reference, data map[string]json.RawMessage) ([]byte, error) {
	if p.field == "" {
		if len(data) != 1 {
			return nil, fmt.Errorf("it has %d fields: name one with #FIELD", len(data))
		}
		for name := range data {
			return fieldOf(decodeAll(data), name)
		}
	}
	return fieldOf(decodeAll(data), p.field)
}

func decodeAll(data map[string]json.RawMessage) any {
	object := map[string]any{}
	for name, raw := range data {
		var v any
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		if d.Decode(&v) == nil {
			object[name] = v
		}
	}
	return object
}
