package providers

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"regexp"
	"testing"
)

func TestPlaceholderShapes(t *testing.T) {
	for template, shape := range map[string]string{
		"ghp_{random36}":                     `^ghp_[A-Za-z0-9]{36}$`,
		"sk-ant-api03-{base64url93}AA":       `^sk-ant-api03-[A-Za-z0-9_-]{93}AA$`,
		"AKIA{upper16}":                      `^AKIA[A-Z0-9]{16}$`,
		"{hex40}":                            `^[0-9a-f]{40}$`,
		"{lower20}":                          `^[a-z0-9]{20}$`,
		"xoxb-{digit12}-{digit13}-{random9}": `^xoxb-\d{12}-\d{13}-[A-Za-z0-9]{9}$`,
		"__token__":                          `^__token__$`,
	} {
		got, err := Placeholder(template, rand.Reader)
		if err != nil || !regexp.MustCompile(shape).MatchString(got) {
			t.Errorf("Placeholder(%q) = %q, %v", template, got, err)
		}
	}
	for _, template := range []string{"", "{random}", "{random0}", "{random257}", "{random01}", "{random-1}", "{words5}", "a{", "a}", "{}", "a\nb", "ä", "{random99999999999999999999}"} {
		if got, err := Placeholder(template, rand.Reader); err == nil {
			t.Errorf("Placeholder(%q) = %q", template, got)
		}
	}
}

func TestPlaceholderIsDeterministicUnderItsReader(t *testing.T) {
	source := bytes.Repeat([]byte{0, 61, 62, 255, 17, 100}, 50)
	a, err := Placeholder("k_{random20}", bytes.NewReader(source))
	if err != nil {
		t.Fatal(err)
	}
	b, err := Placeholder("k_{random20}", bytes.NewReader(source))
	if err != nil || a != b {
		t.Errorf("%q and %q from one source", a, b)
	}
	// 255 is past the last whole multiple of 62 and is drawn again, so 'A' (0)
	// is not likelier than '9' (61).
	if got, _ := Placeholder("{random2}", bytes.NewReader([]byte{255, 61, 248, 62})); got != "9A" {
		t.Errorf("bytes past the multiple were used: %q", got)
	}
	if _, err := Placeholder("{random5}", bytes.NewReader([]byte{1})); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Errorf("a dry source gave %v", err)
	}
}

func TestRecognisable(t *testing.T) {
	if Recognisable("__token__") || !Recognisable("ghp_{random36}") || Recognisable("{") {
		t.Error("Recognisable is wrong")
	}
}
