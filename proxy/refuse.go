package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// encode is the body of a refusal: all five keys, always.
func (r *Refusal) encode() []byte {
	b, err := json.Marshal(struct {
		Error    string `json:"error"`
		Message  string `json:"message"`
		Fix      string `json:"fix"`
		Profile  string `json:"profile"`
		Provider string `json:"provider"`
	}{r.Code, r.Message, r.Fix, r.Profile, r.Provider})
	if err != nil {
		return []byte(`{"error":"` + CodePolicy + `"}`)
	}
	return append(b, '\n')
}

// status guards against a policy's refusal without a status, or with one that
// would be read as success.
func (r *Refusal) status() int {
	if r.Status < 400 || r.Status > 599 {
		return http.StatusForbidden
	}
	return r.Status
}

// refuse answers a request with a refusal. keep says that the connection goes
// on to a next request; the answer to HEAD has no body.
func (c *conn) refuse(r *Refusal, keep bool) {
	text, status := r.encode(), r.status()
	b := make([]byte, 0, 256+len(text))
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(status)...)
	b = append(b, "\r\nContent-Type: application/json\r\nX-Should-Retry: false\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(text)), 10)
	if status == http.StatusProxyAuthRequired {
		b = append(b, "\r\nProxy-Authenticate: Basic realm=\"kb\""...)
	}
	if !keep {
		b = append(b, "\r\nConnection: close"...)
	}
	b = append(b, "\r\n\r\n"...)
	if c.q.method != http.MethodHead {
		b = append(b, text...)
	}
	_, _ = c.wr.Write(b)
	_ = c.wr.Flush()
}

func malformed(err error) *Refusal {
	if err == errHeadTooLarge || err == errTooMany {
		return &Refusal{Status: http.StatusRequestHeaderFieldsTooLarge, Code: CodeTooLarge, Message: sentence(err)}
	}
	return &Refusal{Status: http.StatusBadRequest, Code: CodeMalformed, Message: sentence(err)}
}

// sentence makes one of the package's own error texts a sentence.
func sentence(err error) string {
	s := err.Error()
	return "kb refused the request: " + s + "."
}
