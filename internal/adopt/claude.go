package adopt

import (
	"encoding/json"
	"time"

	"kb/internal/secret"
)

// claudeCode keeps an access token of some eight hours and a refresh token. On
// macOS it keeps them in the keychain, which kb does not open.
var claudeCode = Source{
	Name: "claude-code", Title: "Claude Code", Provider: "anthropic", Method: "claude",
	Shapes: Placeholders{"sk-ant-oat01-{base64url93}AA", "sk-ant-ort01-{base64url93}AA"},
	path:   func(p Places) string { return under(p, "CLAUDE_CONFIG_DIR", ".claude", ".credentials.json") },
	read: func(_ Places, f *Found, raw []byte) error {
		var file struct {
			OAuth struct {
				Access  string   `json:"accessToken"`
				Refresh string   `json:"refreshToken"`
				Expires int64    `json:"expiresAt"` // Unix milliseconds
				Scopes  []string `json:"scopes"`
			} `json:"claudeAiOauth"`
		}
		if json.Unmarshal(raw, &file) != nil {
			return ErrUnreadable
		}
		o := file.OAuth
		if o.Access == "" {
			return ErrNone
		}
		f.Access, f.Refresh, f.Scopes = secret.New(o.Access), secret.New(o.Refresh), o.Scopes
		if o.Expires > 0 {
			f.Expires = time.UnixMilli(o.Expires).UTC()
		}
		return nil
	},
	place: func(f *Found, p Placeholders) ([]byte, error) {
		return edited(f.content(), "claudeAiOauth", func(o *object) error {
			// It refreshes when its token has expired: the past makes it ask kb
			// at its first start, from which kb learns the client that it is.
			return o.setAll(map[string]any{"accessToken": p.Access, "refreshToken": p.Refresh, "expiresAt": longAgo})
		})
	},
}
