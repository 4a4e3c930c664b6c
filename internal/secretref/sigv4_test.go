package secretref_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// The stand-in for AWS checks signatures by what AWS's page says of them, and
// shares no code with the signer that kb uses
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

// sigV4 is what a request's Authorization field says.
type sigV4 struct {
	key, date, region, service, signature string
	signed                                []string
}

func readSigV4(header string) (s sigV4, err error) {
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return s, fmt.Errorf("IncompleteSignature")
	}
	for _, part := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Credential":
			scope := strings.Split(value, "/")
			if len(scope) != 5 || scope[4] != "aws4_request" {
				return s, fmt.Errorf("IncompleteSignature")
			}
			s.key, s.date, s.region, s.service = scope[0], scope[1], scope[2], scope[3]
		case "SignedHeaders":
			s.signed = strings.Split(value, ";")
		case "Signature":
			s.signature = value
		}
	}
	return s, nil
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// signature is what it has to be.
func (s sigV4) want(r *http.Request, body []byte, secret string) string {
	var query []string
	for name, values := range r.URL.Query() {
		for _, v := range values {
			query = append(query, awsEscape(name)+"="+awsEscape(v))
		}
	}
	slices.Sort(query)
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, path, strings.Join(query, "&"))
	for _, name := range s.signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.Join(strings.Fields(value), " "))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", strings.Join(s.signed, ";"), hexSum(body))
	scope := s.date + "/" + s.region + "/" + s.service + "/aws4_request"
	text := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + scope + "\n" + hexSum([]byte(canonical.String()))
	key := mac(mac(mac(mac([]byte("AWS4"+secret), s.date), s.region), s.service), "aws4_request")
	return hex.EncodeToString(mac(key, text))
}

func awsEscape(s string) string {
	return strings.NewReplacer("+", "%20", "%7E", "~").Replace(url.QueryEscape(s))
}

// TestTheCheckItself holds the stand-in against AWS's published examples: the
// request of "Signature Version 4 test suite" called get-vanilla, and the one to
// IAM that AWS's page derives step by step.
func TestTheCheckItself(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	for _, c := range []struct{ method, target, service, signature string }{
		{"GET", "https://example.amazonaws.com/", "service", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
		{"GET", "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08", "iam", "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"},
	} {
		r, err := http.NewRequest(c.method, c.target, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Date", "20150830T123600Z")
		s := sigV4{date: "20150830", region: "us-east-1", service: c.service, signed: []string{"host", "x-amz-date"}}
		if c.service == "iam" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			s.signed = []string{"content-type", "host", "x-amz-date"}
		}
		if got := s.want(r, nil, secret); got != c.signature {
			t.Errorf("%s: signature %s, AWS publishes %s", c.target, got, c.signature)
		}
	}
}

// fakeAWS is Secrets Manager, SSM and STS of one region.
type fakeAWS struct {
	region string
	now    func() time.Time
	// keys by id: the secret, and the session token that must go with it.
	keys    map[string][2]string
	secrets map[string]string // by name or ARN, with ":VERSION" or ":STAGE"
	calls   []string
	tamper  func(body []byte) []byte // what happens to a body on its way
	role    awsRole
}

type awsRole struct{ arn, external, id, secret, session string }

func (a *fakeAWS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if a.tamper != nil {
		body = a.tamper(body)
	}
	service, _, _ := strings.Cut(r.Host, ".")
	s, err := readSigV4(r.Header.Get("Authorization"))
	fail := func(status int, code string) {
		a.calls = append(a.calls, service+" "+code)
		if service == "sts" {
			w.WriteHeader(status)
			fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>body-canary</Message></Error></ErrorResponse>`, code)
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.fault#%s","Message":"body-canary"}`, code)
	}
	at, timeErr := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	keys, known := a.keys[s.key]
	switch {
	case err != nil || !slices.Contains(s.signed, "host") || !slices.Contains(s.signed, "x-amz-date") || timeErr != nil:
		fail(400, "IncompleteSignatureException")
		return
	case !known || r.Header.Get("X-Amz-Security-Token") != keys[1] || keys[1] != "" && !slices.Contains(s.signed, "x-amz-security-token"):
		fail(400, "UnrecognizedClientException")
		return
	case s.service != service || s.region != a.region || !strings.HasPrefix(r.Header.Get("X-Amz-Date"), s.date),
		!hmac.Equal([]byte(s.want(r, body, keys[0])), []byte(s.signature)):
		fail(400, "InvalidSignatureException")
		return
	case a.now().Sub(at).Abs() > 5*time.Minute:
		fail(400, "InvalidSignatureException")
		return
	}
	a.answer(w, r, service, body, fail)
}

func (a *fakeAWS) answer(w http.ResponseWriter, r *http.Request, service string, body []byte, fail func(int, string)) {
	switch target := r.Header.Get("X-Amz-Target"); {
	case service == "secretsmanager" && target == "secretsmanager.GetSecretValue":
		var in struct{ SecretId, VersionId, VersionStage string }
		value, ok := "", false
		if decode(body, &in) {
			value, ok = a.secrets[strings.TrimSuffix(in.SecretId+":"+in.VersionId+in.VersionStage, ":")]
		}
		if !ok {
			fail(400, "ResourceNotFoundException")
			return
		}
		a.calls = append(a.calls, "secretsmanager "+in.SecretId)
		if binary, ok := strings.CutPrefix(value, "base64:"); ok {
			fmt.Fprintf(w, `{"SecretBinary":%q}`, binary)
			return
		}
		fmt.Fprintf(w, `{"Name":"x","SecretString":%s}`, encode(value))
	case service == "ssm" && target == "AmazonSSM.GetParameter":
		var in struct {
			Name           string
			WithDecryption bool
		}
		if !decode(body, &in) || !in.WithDecryption || a.secrets[in.Name] == "" {
			fail(400, "ParameterNotFound")
			return
		}
		a.calls = append(a.calls, "ssm "+in.Name)
		fmt.Fprintf(w, `{"Parameter":{"Name":"x","Type":"SecureString","Value":%s}}`, encode(a.secrets[in.Name]))
	case service == "sts":
		form, _ := url.ParseQuery(string(body))
		if form.Get("Action") != "AssumeRole" || form.Get("Version") != "2011-06-15" || form.Get("RoleArn") != a.role.arn ||
			form.Get("RoleSessionName") == "" || form.Get("ExternalId") != a.role.external {
			fail(403, "AccessDenied")
			return
		}
		a.calls = append(a.calls, "sts AssumeRole")
		fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>%s</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`,
			a.role.id, a.role.secret, a.role.session, a.now().Add(time.Hour).UTC().Format(time.RFC3339))
	default:
		fail(400, "UnknownOperationException")
	}
}
