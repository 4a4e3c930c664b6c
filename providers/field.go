package providers

import (
	"regexp"

	"kb/internal/secret"
)

// Fits reports whether a value has the field's shape. A field without a
// pattern takes any; a mismatch is worth a warning and no more, for vendors
// change their keys' shapes without telling.
func (f Field) Fits(value secret.Value) bool {
	if f.Pattern == "" {
		return true
	}
	shape, err := regexp.Compile(f.Pattern)
	return err != nil || shape.MatchString(value.Reveal())
}

// Title is what a person knows the field as: the vendor's word for it, else its name.
func (f Field) Title() string {
	if f.Label != "" {
		return f.Label
	}
	return f.Name
}
