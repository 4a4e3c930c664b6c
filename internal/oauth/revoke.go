package oauth

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"kb/internal/secret"
)

// Revoke gives tokens back (RFC 7009), those that the server's RevokeWhat
// names. A server that does not know a token any more says yes (section 2.2).
// Without a revocation endpoint it is an error: the caller says that tokens
// live on until they expire.
func (f *Flows) Revoke(ctx context.Context, s Server, c Client, t Tokens) error {
	type one struct {
		token secret.Value
		hint  string
	}
	access, refresh := one{t.Access, "access_token"}, one{t.Refresh, "refresh_token"}
	var list []one
	switch s.RevokeWhat {
	case "", "refresh":
		list = []one{refresh}
		if t.Refresh.IsZero() {
			list = []one{access}
		}
	case "access", "grant":
		list = []one{access}
	case "both":
		list = []one{refresh, access}
	default:
		return fmt.Errorf("revoke: no way %q", s.RevokeWhat)
	}
	for _, o := range list {
		if o.token.IsZero() {
			continue
		}
		if err := f.revoke(ctx, s, c, o.token, o.hint); err != nil {
			return err
		}
	}
	return nil
}

func (f *Flows) revoke(ctx context.Context, s Server, c Client, token secret.Value, hint string) error {
	v, h := url.Values{}, http.Header{}
	for k, val := range s.Header {
		h.Set(k, val)
	}
	switch how := s.RevokeAuth; how {
	case "bearer":
		h.Set("Authorization", "Bearer "+token.Reveal())
	default:
		if how == "" {
			how = string(s.ClientAuth)
		}
		if err := authenticate(ClientAuth(how), c, v, h); err != nil {
			return err
		}
	}
	if s.RevokeParam != "-" {
		param := s.RevokeParam
		if param == "" {
			param = "token"
			v.Set("token_type_hint", hint)
		}
		v.Set(param, token.Reveal())
	}
	method := s.RevokeMethod
	if method == "" {
		method = http.MethodPost
	}
	to := strings.ReplaceAll(s.Revocation, "{client_id}", url.PathEscape(c.ID))
	a, sent, err := f.post(ctx, "revocation", method, to, v, s.RevokeJSON, h)
	if err != nil {
		return err
	}
	// The answer's body says nothing (section 2.2), unless it says no.
	if m, bad := a.object(); bad == nil {
		if code := text(m["error"]); code != "" {
			return a.said(code, text(m["error_description"]), sent)
		}
	}
	if a.status >= 300 {
		return a.odd(fmt.Sprintf("status %d", a.status))
	}
	return nil
}
