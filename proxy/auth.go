package proxy

import (
	"encoding/base64"
	"net/http"
	"strings"

	"kb/internal/secret"
)

// authorized looks for the session token. given tells a wrong token from none.
func (s *Server) authorized(fields []field) (user string, ok, given bool) {
	for _, f := range fields {
		if f.name != "Proxy-Authorization" {
			continue
		}
		scheme, encoded, _ := strings.Cut(f.value, " ")
		if !strings.EqualFold(scheme, "Basic") {
			return "", false, true
		}
		plain, err := base64.StdEncoding.DecodeString(strings.Trim(encoded, " "))
		if err != nil {
			return "", false, true
		}
		user, password, _ := strings.Cut(string(plain), ":")
		// Compared before the name is looked at, so that time tells nothing.
		right := s.token.Equal(secret.New(password))
		if !right || user != "kb" && !strings.HasPrefix(user, "kb.") {
			return "", false, true
		}
		return user, true, true
	}
	return "", false, false
}

// unauthorized answers 407. git asks without the token first and again on the
// same connection once it was asked for it.
func (c *conn) unauthorized(given bool) (keep bool) {
	r := &Refusal{
		Status: http.StatusProxyAuthRequired, Code: CodeProxyAuth,
		Message: "This proxy belongs to one kb session and needs its token, which is in HTTPS_PROXY.",
	}
	if given {
		r.Message = "The kb session token is wrong: it belongs to another session, or one that has ended."
		r.Fix = "kb exec -- COMMAND"
		c.s.policy.Refused(ConnectInfo{}, nil, r)
		c.track.enter(phasePolicy)
		c.s.throttle.wait(c.ctx)
	}
	c.unasked++
	keep = c.unasked < unaskedMax && !c.q.close && c.body.done()
	c.refuse(r, keep)
	if !keep {
		c.linger()
	}
	c.track.enter(phaseIdle)
	return keep
}
