package providers

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxPattern bounds a field's regular expression; RE2 is linear, but its
// program grows with the text.
const maxPattern = 512

func (c *checker) login() {
	methods := c.p.Login.Methods()
	if len(methods) == 0 {
		c.add("login", "no login method is given", "add [[login]] with a [[login.field]]")
	}
	seen := map[string]bool{}
	for i, m := range methods {
		at := fmt.Sprintf("login[%d]", i)
		if !isProviderName(m.Name) {
			c.add(at+".method", fmt.Sprintf("method %q is not lower-case letters, digits and hyphens", m.Name), `write it like method = "token"`)
		}
		if seen[m.Name] {
			c.add(at+".method", fmt.Sprintf("method %q stands twice", m.Name), "")
		}
		seen[m.Name] = true
		c.printable(at+".title", m.Title)
		if m.Page != "" && !strings.HasPrefix(m.Page, "https://"+hostVar) {
			c.webPage(at+".page", m.Page)
		}
		c.fields(at, m)
		c.flow(at, m)
	}
}

func (c *checker) fields(at string, m *Method) {
	secrets := 0
	for i, f := range m.Fields {
		at := fmt.Sprintf("%s.field[%d]", at, i)
		if !isFieldName(f.Name) || f.Name == "host" {
			c.add(at+".name", fmt.Sprintf("field %q is not lower-case letters, digits and underscores", f.Name), `write it like name = "api_key"`)
		}
		if slices.ContainsFunc(m.Fields[:i], func(g Field) bool { return g.Name == f.Name }) {
			c.add(at+".name", fmt.Sprintf("field %q stands twice", f.Name), "")
		}
		if f.Label == "" {
			c.add(at+".label", fmt.Sprintf("field %q has no label to ask by", f.Name), "write what the vendor calls it")
		}
		c.printable(at+".label", f.Label)
		if f.Secret && !f.Optional {
			secrets++
		}
		if len(f.Pattern) > maxPattern {
			c.add(at+".pattern", fmt.Sprintf("pattern is longer than %d characters", maxPattern), "")
		} else if _, err := regexp.Compile(f.Pattern); err != nil {
			c.add(at+".pattern", err.Error(), "")
		} else if f.Pattern != "" && (!strings.HasPrefix(f.Pattern, "^") || !strings.HasSuffix(f.Pattern, "$")) {
			c.add(at+".pattern", "pattern is not anchored", "start it with ^ and end it with $")
		}
	}
	if secrets == 0 && m.Flow != FlowOAuth && m.Flow != FlowAgent {
		c.add(at, fmt.Sprintf("method %q has no required field with secret = true", m.Name), "")
	}
}
