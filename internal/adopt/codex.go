package adopt

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"kb/internal/secret"
)

// codex keeps three tokens of an OpenAI account. Access and id token are JWTs,
// of which it reads the claims: the account, the plan, the end.
var codex = Source{
	Name: "codex", Title: "Codex", Provider: "chatgpt", Method: "codex",
	Shapes: Placeholders{"{base64url43}", "rt_{base64url43}"},
	path:   func(p Places) string { return under(p, "CODEX_HOME", ".codex", "auth.json") },
	read: func(p Places, f *Found, raw []byte) error {
		var file struct {
			Key    string `json:"OPENAI_API_KEY"`
			Tokens *struct {
				ID      string `json:"id_token"`
				Access  string `json:"access_token"`
				Refresh string `json:"refresh_token"`
			} `json:"tokens"`
		}
		if json.Unmarshal(raw, &file) != nil {
			return ErrUnreadable
		}
		if file.Tokens == nil || file.Tokens.Access == "" {
			if file.Key == "" {
				return ErrNone
			}
			f.Provider, f.Method, f.Access = "openai", "key", secret.New(file.Key)
			return nil
		}
		t := file.Tokens
		f.Access, f.Refresh = secret.New(t.Access), secret.New(t.Refresh)
		claims := claimsOf(t.Access)
		f.ClientID = claims.Client
		if claims.Expires > 0 {
			f.Expires = time.Unix(claims.Expires, 0).UTC()
		}
		f.Account = claimsOf(t.ID).Email
		return nil
	},
	place: func(f *Found, p Placeholders) ([]byte, error) {
		return edited(f.content(), "tokens", func(o *object) error {
			for _, name := range []string{"id_token", "access_token"} {
				var token string
				if json.Unmarshal(o.values[name], &token) != nil {
					return ErrUnreadable
				}
				if err := o.set(name, unsigned(token, p.Access)); err != nil {
					return err
				}
			}
			return o.set("refresh_token", p.Refresh)
		})
	},
}

type claims struct {
	Expires int64  `json:"exp"`
	Client  string `json:"client_id"`
	Email   string `json:"email"`
}

// claimsOf reads a JWT's claims, which are the program's to believe, not kb's:
// they name and they date, they decide nothing.
func claimsOf(token string) (c claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		_ = json.Unmarshal(body, &c) // what cannot be read says nothing
	}
	return c
}

// unsigned is a JWT with the claims of token and a placeholder for its
// signature, so that it opens nothing: who it is for is no secret, that it was
// signed is. One that has no signature is a secret as a whole.
func unsigned(token, placeholder string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || parts[2] == "" {
		return placeholder
	}
	return parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString([]byte(placeholder))
}
