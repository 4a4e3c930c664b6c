package golden_test

import (
	"strings"
	"testing"

	"kb/internal/golden"
)

const good = `# https://acme.example/docs
provider acme
env ACME_KEY ^ak_.{36}$
identity GET https://api.acme.example/me
answer {"name":"a -> b"} -> a
login key
field key = kb-golden
== list
> GET https://api.acme.example:8443/x?key=p&n=1
> X-Other: 1
< X-Key: kb-golden
<? k=v=w
<@ c=kb-golden
! X-Other
!? key
repository -
mint
write
audit /x
== look-alike
> GET https://api.acme.example.evil.example/x
none
`

func TestParse(t *testing.T) {
	f, err := golden.Parse(strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Exchanges) != 2 || f.Provider != "acme" || f.Identity.Name != "a" || f.Identity.Answer != `{"name":"a -> b"}` {
		t.Fatalf("read %+v", f)
	}
	e := f.Exchanges[0]
	if e.Port() != "8443" || e.URL.Path != "/x" || e.Header[0].Value != "1" || e.Want[0].Value != "kb-golden" ||
		e.WantQuery[0].Value != "v=w" || e.WantCookie[0].Name != "c" || e.Absent[0] != "X-Other" || e.AbsentArgs[0] != "key" ||
		e.Repository != "-" || !e.Mint || !e.Write || e.Audit != "/x" || e.Fields["key"] != "kb-golden" {
		t.Errorf("read %+v", e)
	}
	if !f.Exchanges[1].None || f.Exchanges[1].Port() != "443" {
		t.Errorf("read %+v", f.Exchanges[1])
	}
}

func TestReadDir(t *testing.T) {
	files, err := golden.ReadDir("../../providers/testdata/golden")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 30 {
		t.Errorf("%d files", len(files))
	}
	if _, err := golden.ReadDir(t.TempDir()); err == nil {
		t.Error("an empty folder checks nothing, and was taken")
	}
}

// An exchange that checks nothing would pass whatever the definition says.
func TestRefusesWhatChecksNothing(t *testing.T) {
	head := "provider acme\nlogin key\nfield key = v\n== t\n"
	for name, text := range map[string]string{
		"neither none nor a field":    head + "> GET https://acme.example/\n",
		"both":                        head + "> GET https://acme.example/\n< A: b\nnone\n",
		"absence of what is not sent": head + "> GET https://acme.example/\n< A: b\n! X\n",
		"no request":                  head + "none\n",
		"plain http":                  head + "> GET http://acme.example/\nnone\n",
		"unknown word":                head + "> GET https://acme.example/\nnone\nfoo\n",
		"no exchange":                 "provider acme\n",
		"no login":                    "provider acme\n== t\n> GET https://acme.example/\nnone\n",
	} {
		if _, err := golden.Parse(strings.NewReader(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
