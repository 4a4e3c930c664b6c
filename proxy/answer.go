package proxy

import (
	"errors"
	"net/http"
	"strings"
)

var errAnswer = errors.New("the upstream's answer is not HTTP")

// answer is the head of a response, fields that belong to one hop removed.
type answer struct {
	status int
	reason string
	fields []field
	length int64 // of the content; chunkedLength when it is not known ahead
	// bodiless says that no content follows, whatever the fields say: the
	// answer to HEAD, 1xx, 204 and 304 (RFC 9112 §6.3). length then holds what
	// Content-Length said, or chunkedLength.
	bodiless bool

	chunked bool // came chunked
	byClose bool // ends where the connection ends
	close   bool // the connection is not used again
	upgrade bool // 101 to websocket
}

// parse reads a head as the upstream sent it. It is laxer than the client's
// side about line ends, because what passes is written anew; what could shift
// the border between two answers is refused all the same.
func (a *answer) parse(head []byte, method string, maxFields int) error {
	*a = answer{fields: a.fields[:0], length: chunkedLength}
	s := string(head)
	line, s, _ := cutLine(s)
	version, rest, ok := strings.Cut(line, " ")
	if !ok || len(rest) < 3 || (version != "HTTP/1.1" && version != "HTTP/1.0") {
		return errAnswer
	}
	for i := range 3 {
		if rest[i] < '0' || rest[i] > '9' {
			return errAnswer
		}
		a.status = a.status*10 + int(rest[i]-'0')
	}
	if a.status < 100 || len(rest) > 3 && rest[3] != ' ' {
		return errAnswer
	}
	a.reason = safeReason(a.status, strings.TrimPrefix(rest[3:], " "))
	a.close = version == "HTTP/1.0"
	var connection, te string
	sized, upgrade := false, ""
	for n := 0; s != "" && s != "\r\n" && s != "\n"; n++ {
		if n == maxFields {
			return errAnswer
		}
		line, s, _ = cutLine(s)
		f, err := parseField(line)
		if err != nil {
			return errAnswer
		}
		switch f.name {
		case "Content-Length":
			length, ok := parseLength(f.value)
			if !ok || sized && length != a.length {
				return errAnswer
			}
			a.length, sized = length, true
			continue
		case "Transfer-Encoding":
			if te != "" || !strings.EqualFold(f.value, "chunked") {
				return errAnswer
			}
			te = f.value
			continue
		case "Connection":
			connection += "," + f.value
			continue
		case "Upgrade":
			upgrade = f.value
			continue
		case "Alt-Svc": // would send the client past the proxy
			continue
		}
		a.fields = append(a.fields, f)
	}
	if te != "" && (sized || version == "HTTP/1.0") {
		return errAnswer
	}
	a.drop(connection, version == "HTTP/1.0")
	a.chunked = te != ""
	a.upgrade = a.status == http.StatusSwitchingProtocols && strings.EqualFold(upgrade, "websocket")
	a.bodiless = method == http.MethodHead || a.status < 200 || a.status == http.StatusNoContent || a.status == http.StatusNotModified
	a.byClose = !a.bodiless && !a.chunked && !sized
	a.close = a.close || a.byClose
	return nil
}

// drop removes the fields of this hop: the usual ones and those that
// Connection names (RFC 9110 §7.6.1).
func (a *answer) drop(connection string, http10 bool) {
	for option := range strings.SplitSeq(connection, ",") {
		switch option = strings.Trim(option, " \t"); {
		case option == "":
		case strings.EqualFold(option, "close"):
			a.close = true
		case strings.EqualFold(option, "keep-alive"):
			if http10 {
				a.close = false
			}
		default:
			a.fields = remove(a.fields, option)
		}
	}
	kept := a.fields[:0]
	for _, f := range a.fields {
		if !hopByHop(f.name) {
			kept = append(kept, f)
		}
	}
	a.fields = kept
}

// remove deletes every field of that name in place.
func remove(fields []field, name string) []field {
	kept := fields[:0]
	for _, f := range fields {
		if !strings.EqualFold(f.name, name) {
			kept = append(kept, f)
		}
	}
	return kept
}

// hopByHop reports whether a field is never forwarded. Connection's own list
// comes on top.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Te", "Transfer-Encoding", "Upgrade", "Http2-Settings":
		return true
	}
	return strings.HasPrefix(name, "Proxy-")
}

func cutLine(s string) (line, rest string, ok bool) {
	line, rest, ok = strings.Cut(s, "\n")
	return strings.TrimSuffix(line, "\r"), rest, ok
}

// safeReason keeps an upstream's reason phrase if it is plain text.
func safeReason(status int, reason string) string {
	for i := 0; i < len(reason); i++ {
		if reason[i] < ' ' || reason[i] >= 0x7f {
			return http.StatusText(status)
		}
	}
	return reason
}
