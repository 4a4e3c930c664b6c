package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// outgoing is a request as the upstream gets it, but for the framing of its
// body.
type outgoing struct {
	method    string
	target    string // path and query, as written to the request line
	authority string // Host, :authority
	fields    []field
	length    int64
	expect    bool
	websocket bool
}

// endToEnd keeps the fields that are for the policy and the upstream: not
// those of this hop (RFC 9110 §7.6.1), not the framing, which is made anew,
// not Kb-*, which is for kb.
func endToEnd(dst, fields []field, options []string, info *RequestInfo) []field {
	trailers := false
	for _, f := range fields {
		switch f.name {
		case "Host", "Content-Length", "Expect":
			continue
		case "Te":
			trailers = trailers || strings.EqualFold(f.value, "trailers")
			continue
		case "Kb-Profile":
			info.Profile = f.value
			continue
		case "Kb-Login":
			info.Login = f.value
			continue
		}
		if hopByHop(f.name) || strings.HasPrefix(f.name, "Kb-") || named(options, f.name) {
			continue
		}
		dst = append(dst, f)
	}
	if trailers {
		// gRPC needs it, and it says what is true of this hop too.
		dst = append(dst, field{"Te", "trailers"})
	}
	return dst
}

func named(options []string, name string) bool {
	for _, o := range options {
		if strings.EqualFold(o, name) {
			return true
		}
	}
	return false
}

// apply fills o with the client's fields as the injection says: what it sets
// and deletes goes, every copy, then what it sets is added. asked says that
// the target had a "?", even an empty one. It is the one
// place where a credential enters a request; only an exchange over verified
// TLS calls it with an injection that holds any.
func (o *outgoing) apply(inj *Injection, fields []field, path, query string, asked bool) *Refusal {
	o.fields = o.fields[:0]
	if inj.Path != "" {
		path = inj.Path
		if path[0] != '/' || checkTarget(path) != nil || strings.IndexByte(path, '?') >= 0 {
			return unfit("path")
		}
	}
	for _, f := range fields {
		if replaced(inj, f.name) {
			continue
		}
		o.fields = append(o.fields, f)
	}
	for i := range inj.Header {
		v := inj.Header[i].Value.Reveal()
		if !isToken(inj.Header[i].Name) || !headerText(v) {
			return unfit("header field")
		}
		o.fields = append(o.fields, field{inj.Header[i].Name, v})
	}
	if len(inj.Cookie) > 0 {
		line, ok := injectCookies(fields, inj)
		if !ok {
			return unfit("cookie")
		}
		o.fields = append(o.fields, field{"Cookie", line})
	}
	if len(inj.Query) > 0 || len(inj.DeleteQuery) > 0 {
		query = injectQuery(query, inj.Query, inj.DeleteQuery)
	}
	o.target = path
	if query != "" || asked {
		o.target = path + "?" + query
	}
	return nil
}

func replaced(inj *Injection, name string) bool {
	for i := range inj.Header {
		if strings.EqualFold(inj.Header[i].Name, name) {
			return true
		}
	}
	if name == "Cookie" && len(inj.Cookie) > 0 {
		return true
	}
	return slices.ContainsFunc(inj.Delete, func(d string) bool { return strings.EqualFold(d, name) })
}

func unfit(place string) *Refusal {
	return &Refusal{
		Status: http.StatusBadGateway, Code: CodeCredential,
		Message: "The credential cannot travel in a " + place + ": it holds a character that is not allowed there.",
	}
}

func headerText(v string) bool {
	for i := 0; i < len(v); i++ {
		if v[i] < ' ' && v[i] != '\t' || v[i] == 0x7f {
			return false
		}
	}
	return true
}

// injectQuery replaces the parameters of each name and drops others. "&" and ";" both end a
// parameter: servers disagree, and a copy left behind would be the client's.
func injectQuery(query string, set []Field, drop []string) string {
	var b strings.Builder
	for query != "" {
		end := strings.IndexAny(query, "&;")
		part, sep := query, ""
		if end >= 0 {
			part, sep, query = query[:end], query[end:end+1], query[end+1:]
		} else {
			query = ""
		}
		name, _, _ := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		if err == nil && (slices.Contains(drop, plain) || slices.ContainsFunc(set, func(f Field) bool { return f.Name == plain })) {
			continue
		}
		b.WriteString(part)
		b.WriteString(sep)
	}
	if len(set) == 0 {
		return strings.TrimRight(b.String(), "&;")
	}
	for _, f := range set {
		if s := b.String(); s != "" && !strings.HasSuffix(s, "&") {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(f.Name))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(f.Value.Reveal()))
	}
	return b.String()
}

// injectCookies returns one Cookie line with the client's other cookies and
// those that are set. ok is false if one cannot be a cookie (RFC 6265 §4.1.1).
func injectCookies(fields []field, inj *Injection) (line string, ok bool) {
	var b strings.Builder
	add := func(s string) {
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(s)
	}
	if !slices.Contains(inj.Delete, "Cookie") {
		for _, f := range fields {
			if f.name != "Cookie" {
				continue
			}
			for pair := range strings.SplitSeq(f.value, ";") {
				pair = strings.Trim(pair, " \t")
				name, _, _ := strings.Cut(pair, "=")
				name = strings.Trim(name, " \t")
				if pair == "" || slices.ContainsFunc(inj.Cookie, func(c Field) bool { return c.Name == name }) {
					continue
				}
				add(pair)
			}
		}
	}
	for _, c := range inj.Cookie {
		v := c.Value.Reveal()
		if !isToken(c.Name) || strings.ContainsAny(v, ";, \"\\") || !headerText(v) || strings.Contains(v, "\t") {
			return "", false
		}
		add(c.Name + "=" + v)
	}
	return b.String(), true
}

// appendHead writes the request for HTTP/1.1.
func (o *outgoing) appendHead(b []byte) []byte {
	b = append(b, o.method...)
	b = append(b, ' ')
	b = append(b, o.target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, o.authority...)
	b = append(b, "\r\n"...)
	b = appendFields(b, o.fields)
	switch {
	case o.length == chunkedLength:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	case o.length > 0 || o.method == http.MethodPost || o.method == http.MethodPut || o.method == http.MethodPatch:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, o.length, 10)
		b = append(b, "\r\n"...)
	}
	if o.expect {
		b = append(b, "Expect: 100-continue\r\n"...)
	}
	if o.websocket {
		b = append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n"...)
	} else if hasTE(o.fields) {
		b = append(b, "Connection: TE\r\n"...)
	}
	return append(b, "\r\n"...)
}

func hasTE(fields []field) bool {
	return len(fields) > 0 && slices.ContainsFunc(fields, func(f field) bool { return f.name == "Te" })
}

func appendFields(b []byte, fields []field) []byte {
	for i := range fields {
		b = append(b, fields[i].name...)
		b = append(b, ": "...)
		b = append(b, fields[i].value...)
		b = append(b, "\r\n"...)
	}
	return b
}
