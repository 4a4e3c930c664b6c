package proxy

import (
	"iter"
	"net/http"
	"slices"
	"strings"
)

// field is one header or trailer line. Names are in canonical form (RFC 9110
// §5.1 makes them case-insensitive; net/http's spelling is used throughout).
type field struct{ name, value string }

// Header is a read-only view of a request's fields in the order they came. It
// is not an [http.Header], because building a map for each request is a good
// part of what a request costs. The zero Header has no fields.
type Header struct{ fields []field }

// NewHeader returns the view of h, for tests of a [Policy]. Fields of one name
// keep their order.
func NewHeader(h http.Header) Header {
	var v Header
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range h[name] {
			v.fields = append(v.fields, field{http.CanonicalHeaderKey(name), value})
		}
	}
	return v
}

// Get returns the first value of the field, "" if there is none. The name's
// case does not matter.
func (h Header) Get(name string) string {
	for i := range h.fields {
		if strings.EqualFold(h.fields[i].name, name) {
			return h.fields[i].value
		}
	}
	return ""
}

// LenientValues is Values as CGI and what descends from it read names: they see no
// difference between "-" and "_" (RFC 3875 §4.1.18).
func (h Header) LenientValues(name string) []string {
	var vs []string
	for i := range h.fields {
		if strings.EqualFold(strings.ReplaceAll(h.fields[i].name, "_", "-"), name) {
			vs = append(vs, h.fields[i].value)
		}
	}
	return vs
}

// Values returns every value of the field, one for each line.
func (h Header) Values(name string) []string {
	var vs []string
	for i := range h.fields {
		if strings.EqualFold(h.fields[i].name, name) {
			vs = append(vs, h.fields[i].value)
		}
	}
	return vs
}

// Has reports whether the field is there, even with an empty value.
func (h Header) Has(name string) bool {
	return slices.ContainsFunc(h.fields, func(f field) bool { return strings.EqualFold(f.name, name) })
}

// All yields every line, name in canonical form.
func (h Header) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, f := range h.fields {
			if !yield(f.name, f.value) {
				return
			}
		}
	}
}
