package adopt

import (
	"encoding/json"
	"strings"
	"time"

	"kb/internal/secret"
)

// geminiCLI keeps tokens of a Google account. Google keeps a refresh token
// valid, so that kb and the program can both hold it; the file is replaced all
// the same, for an agent can read it.
var geminiCLI = Source{
	Name: "gemini-cli", Title: "Gemini CLI", Provider: "gemini-code-assist", Method: "gemini-cli",
	Shapes: Placeholders{"ya29.{base64url80}", "1//{base64url60}"},
	path: func(p Places) string {
		home := p
		if p.Getenv != nil {
			if dir := p.Getenv("GEMINI_CLI_HOME"); dir != "" {
				home.Home = dir
			}
		}
		return under(home, "", ".gemini", "oauth_creds.json")
	},
	read: func(_ Places, f *Found, raw []byte) error {
		var file struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
			ID      string `json:"id_token"`
			Scope   string `json:"scope"`
			Expires int64  `json:"expiry_date"` // Unix milliseconds
		}
		if json.Unmarshal(raw, &file) != nil {
			return ErrUnreadable
		}
		if file.Access == "" && file.Refresh == "" {
			return ErrNone
		}
		f.Access, f.Refresh = secret.New(file.Access), secret.New(file.Refresh)
		f.Scopes = strings.Fields(file.Scope)
		f.Account = claimsOf(file.ID).Email
		if file.Expires > 0 {
			f.Expires = time.UnixMilli(file.Expires).UTC()
		}
		return nil
	},
	place: func(f *Found, p Placeholders) ([]byte, error) {
		return edited(f.content(), "", func(o *object) error {
			members := map[string]any{"access_token": p.Access, "refresh_token": p.Refresh, "expiry_date": longAgo}
			var id string
			if json.Unmarshal(o.values["id_token"], &id) == nil && id != "" {
				members["id_token"] = unsigned(id, p.Access)
			}
			return o.setAll(members)
		})
	},
}
