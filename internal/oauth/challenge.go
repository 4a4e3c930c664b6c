package oauth

import "strings"

// challenge is one challenge of a WWW-Authenticate field (RFC 9110 section
// 11.6.1). Names are in lower case.
type challenge struct {
	scheme string
	params map[string]string
}

// challenges reads the values of WWW-Authenticate. What cannot be read ends
// the reading of its value; what was read before stays.
func challenges(values []string) []challenge {
	var out []challenge
	for _, v := range values {
		r := challengeReader{v}
		var now *challenge
		for {
			r.skip(" \t,")
			word := r.token()
			if word == "" {
				break
			}
			spaced := r.skip(" \t")
			if !strings.HasPrefix(r.s, "=") || spaced && now == nil {
				out = append(out, challenge{scheme: strings.ToLower(word), params: map[string]string{}})
				now = &out[len(out)-1]
				r.token68()
				continue
			}
			if now == nil {
				break
			}
			r.s = r.s[1:]
			r.skip(" \t")
			value, ok := r.value()
			if !ok {
				break
			}
			word = strings.ToLower(word)
			if _, twice := now.params[word]; !twice { // the first counts
				now.params[word] = value
			}
		}
	}
	return out
}

// challengeReader is what is left of a value.
type challengeReader struct{ s string }

// skip drops leading bytes of cut and reports whether there were any.
func (r *challengeReader) skip(cut string) bool {
	before := len(r.s)
	r.s = strings.TrimLeft(r.s, cut)
	return len(r.s) < before
}

func (r *challengeReader) token() string {
	i := 0
	for i < len(r.s) && tokenByte(r.s[i]) {
		i++
	}
	var t string
	t, r.s = r.s[:i], r.s[i:]
	return t
}

// tokenByte is tchar of RFC 9110 section 5.6.2.
func tokenByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// token68 drops the one that Basic and Negotiate may have: a word that is no
// parameter's name and is followed by a comma or nothing.
func (r *challengeReader) token68() {
	i := 0
	for i < len(r.s) && (tokenByte(r.s[i]) || r.s[i] == '/') {
		i++
	}
	j := i
	for j < len(r.s) && r.s[j] == '=' {
		j++
	}
	rest := strings.TrimLeft(r.s[j:], " \t")
	if i > 0 && (rest == "" || rest[0] == ',') {
		r.s = rest
	}
}

// value is a token or a quoted string (RFC 9110 section 5.6.4).
func (r *challengeReader) value() (string, bool) {
	if !strings.HasPrefix(r.s, `"`) {
		v := r.token()
		return v, v != ""
	}
	var b strings.Builder
	for i := 1; i < len(r.s); i++ {
		switch c := r.s[i]; c {
		case '"':
			r.s = r.s[i+1:]
			return b.String(), true
		case '\\':
			if i++; i == len(r.s) {
				return "", false
			}
			b.WriteByte(r.s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
