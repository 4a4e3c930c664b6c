package proxy

import (
	"errors"
	"net/http"
	"strings"
)

// Reasons for refusing a head. The text is shown to the client, so it quotes
// nothing that the client sent.
var (
	errRequestLine = errors.New("the request line is not METHOD SP target SP HTTP/1.1")
	errMethod      = errors.New("the method is not a token")
	errTarget      = errors.New("the target holds a character that a URI cannot")
	errPercent     = errors.New("the target holds a percent sign without two hex digits")
	errFragment    = errors.New("the target holds a fragment")
	errFold        = errors.New("a header line is folded (obsolete since RFC 7230)")
	errFieldName   = errors.New("a header name is not a token, or a space comes before its colon")
	errFieldValue  = errors.New("a header value holds a control character")
	errTooMany     = errors.New("the request has too many header lines")
	errDupHost     = errors.New("the request has no Host header, or more than one")
	errDupAuth     = errors.New("the request has more than one Authorization header")
	errDupLength   = errors.New("the request has more than one Content-Length header")
	errLength      = errors.New("the Content-Length is not a number")
	errCLTE        = errors.New("the request has both Content-Length and Transfer-Encoding")
	errCoding      = errors.New("the Transfer-Encoding is not just chunked")
	errTE10        = errors.New("an HTTP/1.0 request has a Transfer-Encoding")
	errExpect      = errors.New("the Expect header is not 100-continue")
	errConnectBody = errors.New("a CONNECT request has a body")
)

// chunkedLength marks a message whose length is told chunk by chunk.
const chunkedLength = -1

// request is a head that the strict parser accepted.
type request struct {
	method string
	target string
	minor  int // HTTP/1.minor
	fields []field
	host   string // the Host field as sent; "" if HTTP/1.0 left it out
	length int64  // of the body in bytes, or chunkedLength
	// options holds the names in Connection, as sent: those fields are this
	// hop's (RFC 9110 §7.6.1).
	options   []string
	close     bool
	expect    bool // Expect: 100-continue
	websocket bool // Connection: upgrade and Upgrade: websocket
}

// parse reads a head that reader.head has cut. It accepts nothing that RFC
// 9112 leaves to the recipient's good will.
func (q *request) parse(head []byte, maxFields int) error {
	*q = request{fields: q.fields[:0], options: q.options[:0]}
	s := string(head) // the one allocation that all fields share
	line, rest, _ := strings.Cut(s, "\r\n")
	if err := q.requestLine(line); err != nil {
		return err
	}
	fields, err := parseFields(q.fields, rest, maxFields)
	if err != nil {
		return err
	}
	q.fields = fields
	return q.meaning()
}

func (q *request) requestLine(line string) error {
	method, rest, ok := strings.Cut(line, " ")
	if !ok {
		return errRequestLine
	}
	target, version, ok := strings.Cut(rest, " ")
	if !ok {
		return errRequestLine
	}
	if !isToken(method) {
		return errMethod
	}
	switch version {
	case "HTTP/1.1":
		q.minor = 1
	case "HTTP/1.0":
		q.minor = 0
	default:
		return errNotHTTP
	}
	q.method, q.target = method, target
	return checkTarget(target)
}

// checkTarget accepts visible ASCII without a fragment and with whole percent
// triplets. That is wider than RFC 3986 by the characters that URL parsers of
// browsers and Node leave as they are ("[", "|", "{" and the like).
func checkTarget(t string) error {
	if t == "" {
		return errTarget
	}
	for i := 0; i < len(t); i++ {
		switch c := t[i]; {
		case c <= ' ' || c >= 0x7f:
			return errTarget
		case c == '#':
			return errFragment
		case c == '%':
			if i+2 >= len(t) || !isHex(t[i+1]) || !isHex(t[i+2]) {
				return errPercent
			}
		}
	}
	return nil
}

// parseFields reads header lines up to the empty one.
func parseFields(fields []field, s string, limit int) ([]field, error) {
	for n := 0; s != "\r\n" && s != ""; n++ {
		if n == limit {
			return nil, errTooMany
		}
		line, rest, ok := strings.Cut(s, "\r\n")
		if !ok {
			return nil, errBareLF
		}
		s = rest
		f, err := parseField(line)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func parseField(line string) (field, error) {
	if line != "" && (line[0] == ' ' || line[0] == '\t') {
		return field{}, errFold
	}
	name, value, ok := strings.Cut(line, ":")
	if !ok || !isToken(name) {
		return field{}, errFieldName
	}
	value = strings.Trim(value, " \t")
	for i := 0; i < len(value); i++ {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return field{}, errFieldValue
		}
	}
	return field{http.CanonicalHeaderKey(name), value}, nil
}

// meaning reads the fields that frame the message or name its target.
func (q *request) meaning() error {
	hosts, lengths, codings, auths, proxyAuths := 0, 0, 0, 0, 0
	upgrade := ""
	for _, f := range q.fields {
		switch f.name {
		case "Host":
			hosts++
			q.host = f.value
		case "Content-Length":
			lengths++
			n, ok := parseLength(f.value)
			if !ok {
				return errLength
			}
			q.length = n
		case "Transfer-Encoding":
			codings++
			if !strings.EqualFold(f.value, "chunked") {
				return errCoding
			}
		case "Authorization":
			auths++
		case "Proxy-Authorization":
			proxyAuths++
		case "Expect":
			if !strings.EqualFold(f.value, "100-continue") {
				return errExpect
			}
			q.expect = true
		case "Upgrade":
			upgrade = f.value
		case "Connection":
			for option := range strings.SplitSeq(f.value, ",") {
				if option = strings.Trim(option, " \t"); option != "" {
					q.options = append(q.options, option)
				}
			}
		}
	}
	switch {
	case hosts > 1 || hosts == 0 && q.minor == 1 || hosts == 1 && q.host == "":
		return errDupHost
	case auths > 1 || proxyAuths > 1:
		return errDupAuth
	case lengths > 1:
		return errDupLength
	case codings > 1:
		return errCoding
	case codings == 1 && q.minor == 0:
		return errTE10
	case codings == 1 && lengths == 1:
		return errCLTE
	case q.method == "CONNECT" && (codings > 0 || q.length > 0):
		return errConnectBody
	}
	if codings == 1 {
		q.length = chunkedLength
	}
	q.close = q.minor == 0
	upgrades := false
	for _, o := range q.options {
		switch {
		case strings.EqualFold(o, "close"):
			q.close = true
		case strings.EqualFold(o, "keep-alive") && q.minor == 0:
			q.close = false
		case strings.EqualFold(o, "upgrade"):
			upgrades = true
		}
	}
	q.websocket = upgrades && q.minor == 1 && q.method == "GET" && strings.EqualFold(upgrade, "websocket")
	if q.minor == 0 {
		q.expect = false // RFC 9110 §10.1.1: ignored from HTTP/1.0
	}
	return nil
}

// parseLength accepts digits only, and less than 2^60 bytes.
func parseLength(s string) (int64, bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	var n int64
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// isToken reports whether s is a token of RFC 9110 §5.6.2.
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
