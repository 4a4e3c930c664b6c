package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"kb/internal/secret"
)

const canary = "kb-canary-4cc0"

func TestNoDoorPrintsTheSecret(t *testing.T) {
	v := secret.New(canary)
	type holder struct {
		V secret.Value
		P *secret.Value
		m map[string]secret.Value
	}
	h := holder{V: v, P: &v, m: map[string]secret.Value{"k": v}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%T"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", &h)
	}
	b, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(b)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v, "h", h)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v, "h", h)
	fmt.Fprint(&out, fmt.Errorf("failed with %v", v))
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret was printed as %q:\n%s", form, out.String())
		}
	}
	// Positive control: the same oracle sees a secret that is revealed.
	if !strings.Contains(fmt.Sprint(v.Reveal()), canary) {
		t.Fatal("Reveal does not give the secret")
	}
}

func TestEqual(t *testing.T) {
	a, b, c := secret.New("x"), secret.New("x"), secret.New("xy")
	if !a.Equal(b) || a.Equal(c) || a.Equal(secret.Value{}) || !(secret.Value{}).Equal(secret.Value{}) {
		t.Error("Equal is wrong")
	}
}

func TestCheckRefusesLineBreaks(t *testing.T) {
	for _, s := range []string{"a\r\nX: y", "a\nb", "a\rb", "a\x00b"} {
		if err := secret.New(s).Check(); !errors.Is(err, secret.ErrControl) {
			t.Errorf("Check(%q) = %v, want ErrControl", s, err)
		}
	}
	if err := secret.New("plain").Check(); err != nil {
		t.Error(err)
	}
}
