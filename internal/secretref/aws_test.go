package secretref_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

const (
	awsID     = "AKIDEXAMPLE"
	awsSecret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	awsARN    = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1b2c3"
)

// newAWS is a device with AWS keys in its environment, and AWS.
func newAWS(t *testing.T, pairs ...string) (*device, *fakeAWS) {
	t.Helper()
	c := newClock()
	a := &fakeAWS{
		region: "eu-west-1", now: c.now, keys: map[string][2]string{awsID: {awsSecret, ""}, "ASIAROLE": {"role-secret", "role-session"}},
		secrets: map[string]string{
			"prod/api": canary, awsARN: `{"user":"me","password":"` + canary + `","deep":{"a/b":7}}`,
			"prod/api:AWSPREVIOUS": "the one before", "prod/api:0000-v1": "the first", "bytes": "base64:" + base64.StdEncoding.EncodeToString([]byte(canary)),
			"/prod/token": canary, "flat": "flat value", "flat:3": "third", "/prod/token:live": "labelled",
		},
		role: awsRole{arn: "arn:aws:iam::123456789012:role/reader", external: "ext", id: "ASIAROLE", secret: "role-secret", session: "role-session"},
	}
	d := newDevice(t, pairs...)
	d.o.Now = c.now
	d.o.Client = serve(t, a)
	return d, a
}

var environKeys = []string{"AWS_ACCESS_KEY_ID=" + awsID, "AWS_SECRET_ACCESS_KEY=" + awsSecret, "AWS_REGION=eu-west-1"}

func TestSecretsManagerAndParameterStore(t *testing.T) {
	d, _ := newAWS(t, environKeys...)
	r := d.resolver()
	for ref, want := range map[string]string{
		"awssm://prod/api":                        canary,
		"awssm://prod/api?stage=AWSPREVIOUS":      "the one before",
		"awssm://prod/api?version=0000-v1":        "the first",
		"awssm://" + awsARN + "#password":         canary,
		"awssm://" + awsARN + "#/deep/a~1b":       "7",
		"awssm://bytes":                           canary,
		"awsps://prod/token":                      canary,
		"awsps:///prod/token":                     canary,
		"awsps://prod/token?label=live":           "labelled",
		"awsps://flat?version=3":                  "third",
		"awssm://prod/api?region=eu-west-1#":      "",
		"awssm://prod/api?region=eu-west-1":       canary,
		"awssm://" + awsARN + "?region=eu-west-1": `{"user":"me","password":"` + canary + `","deep":{"a/b":7}}`,
	} {
		if want == "" {
			refuses(t, r, ref, "no field")
			continue
		}
		gets(t, r, ref, want)
	}
	refuses(t, r, "awssm://no/such", "secretsmanager.eu-west-1.amazonaws.com answered 400 ResourceNotFoundException")
	refuses(t, r, "awssm://prod/api#field", "not JSON")
	refuses(t, r, "awssm://"+awsARN+"#nothing", `no field "nothing"`)
	refuses(t, r, "awssm://"+awsARN+"#deep", "not one value")
	refuses(t, r, "awssm://x?region=evil.example/", "not a region")
	refuses(t, r, "awssm://x?regoin=eu-west-1", "parameters are version, stage, region, profile")
	refuses(t, r, "awssm://arn:aws:ssm:eu-west-1:123456789012:parameter/x", "not an ARN of secretsmanager")
}

// TestAWSRefusesWhatIsSignedWrongly is about the stand-in as much as about kb:
// what makes a signature wrong is refused, so that a request which gets an
// answer was signed well.
func TestAWSRefusesWhatIsSignedWrongly(t *testing.T) {
	for name, c := range map[string]struct {
		change func(d *device, a *fakeAWS)
		code   string
	}{
		"another secret key":                    {func(d *device, _ *fakeAWS) { d.set("AWS_SECRET_ACCESS_KEY=wrong") }, "InvalidSignatureException"},
		"another key id":                        {func(d *device, _ *fakeAWS) { d.set("AWS_ACCESS_KEY_ID=AKIDOTHER") }, "UnrecognizedClientException"},
		"a session token that is not the key's": {func(d *device, _ *fakeAWS) { d.set("AWS_SESSION_TOKEN=x") }, "UnrecognizedClientException"},
		"another region":                        {func(d *device, _ *fakeAWS) { d.set("AWS_REGION=us-east-1") }, "InvalidSignatureException"},
		"a clock that is six minutes behind": {func(_ *device, a *fakeAWS) {
			right := a.now
			a.now = func() time.Time { return right().Add(6 * time.Minute) }
		}, "InvalidSignatureException"},
		"a body changed on the way": {func(_ *device, a *fakeAWS) {
			a.tamper = func(body []byte) []byte { return bytes.ReplaceAll(body, []byte("prod/api"), []byte("prod/apj")) }
		}, "InvalidSignatureException"},
	} {
		t.Run(name, func(t *testing.T) {
			d, a := newAWS(t, environKeys...)
			gets(t, d.resolver(), "awssm://prod/api", canary) // the control
			c.change(d, a)
			refuses(t, d.resolver(), "awssm://prod/api", c.code)
		})
	}
}

func TestAWSProfiles(t *testing.T) {
	d, a := newAWS(t)
	d.write(".aws/config", `
[default]
region = eu-west-1
[profile reader]
role_arn = arn:aws:iam::123456789012:role/reader
source_profile = default
external_id = ext
region = eu-west-1
[profile itself]
role_arn = arn:aws:iam::123456789012:role/reader
source_profile = loop
[profile loop]
role_arn = arn:aws:iam::123456789012:role/reader
source_profile = itself
[profile denied]
role_arn = arn:aws:iam::123456789012:role/other
source_profile = default
region = eu-west-1
[profile sso]
sso_session = acme
region = eu-west-1
s3 =
  aws_access_key_id = nested
[sso-session acme]
sso_start_url = https://acme.example
`, 0o600)
	d.write(".aws/credentials", "[default]\naws_access_key_id = "+awsID+"\naws_secret_access_key = "+awsSecret+"\n", 0o600)
	d.program("aws", `[ "$*" = "configure export-credentials --format process --profile sso" ] || { echo "argv: $*" >&2; exit 2; }
echo '{"Version":1,"AccessKeyId":"ASIAROLE","SecretAccessKey":"role-secret","SessionToken":"role-session","Expiration":"2026-11-26T13:00:00+00:00"}'`)
	r := d.resolver()
	gets(t, r, "awssm://prod/api", canary) // the default profile's keys
	gets(t, r, "awssm://prod/api?profile=reader", canary)
	gets(t, r, "awssm://"+awsARN+"?profile=reader#password", canary)
	gets(t, r, "awssm://prod/api?profile=sso", canary)
	if n := count(a.calls, "sts AssumeRole"); n != 1 {
		t.Errorf("the role was assumed %d times for two references, want once: %q", n, a.calls)
	}
	refuses(t, r, "awssm://prod/api?profile=itself&region=eu-west-1", "leads to itself")
	refuses(t, r, "awssm://prod/api?profile=denied", "sts.eu-west-1.amazonaws.com answered 403 AccessDenied")
	refuses(t, r, "awssm://prod/api?profile=nobody&region=eu-west-1", `no AWS profile "nobody"`)
	refuses(t, r, "awssm://prod/api?profile=--debug", "begin with a hyphen")

	d.set("AWS_PROFILE=reader")
	gets(t, d.resolver(), "awssm://prod/api", canary)
	d.set("AWS_CONFIG_FILE=" + d.home + "/none")
	refuses(t, d.resolver(), "awssm://prod/api", "no AWS region")
}

// TestAWSWithoutTheCLI: a profile that only the CLI can do says what is missing.
func TestAWSWithoutTheCLI(t *testing.T) {
	d, _ := newAWS(t, "AWS_REGION=eu-west-1", "PATH=/nowhere")
	refuses(t, d.resolver(), "awssm://prod/api", `program "aws" (AWS CLI version 2) is not in PATH`)
}

// TestAnAnswerThatIsNone: a service that answers with a page, with too much, or
// by sending the request elsewhere.
func TestAnAnswerThatIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		say     string
	}{
		"a page":   {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>body-canary")) }, "not JSON"},
		"too much": {func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("body-canary"), 1<<16)) }, "longer than"},
		"redirected": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		}, "answered 302"},
		"an odd code": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			w.Write([]byte(`{"__type":"\u001b[2Jbody-canary 1"}`))
		}, "answered 400"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t, environKeys...)
			d.o.Client = serve(t, c.handler)
			refuses(t, d.resolver(), "awssm://prod/api", c.say)
		})
	}
}

// TestRealAWSCLI has the real CLI export the keys of a credential_process
// profile, where it is installed.
func TestRealAWSCLI(t *testing.T) {
	path := os.Getenv("PATH")
	d, _ := newAWS(t, "PATH="+path)
	d.write(".aws/config", "[profile proc]\nregion = eu-west-1\ncredential_process = "+d.program("keys", `echo '{"Version":1,"AccessKeyId":"`+awsID+`","SecretAccessKey":"`+awsSecret+`"}'`)+"\n", 0o600)
	// A manager of versions for Python knows its own by this.
	d.set("PYENV_ROOT=" + os.Getenv("PYENV_ROOT"))
	if out, err := exec.Command("aws", "--version").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "aws-cli/2") {
		t.Skip("skipped: AWS CLI version 2 is not installed")
	}
	v, err := resolve(d.resolver(), "awssm://prod/api?profile=proc")
	if err != nil || v.Reveal() != canary {
		t.Errorf("resolves to %q, %v", v.Reveal(), err)
	}
}

func count(list []string, what string) (n int) {
	for _, s := range list {
		if s == what {
			n++
		}
	}
	return n
}
