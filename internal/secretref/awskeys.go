package secretref

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kb/internal/secret"
)

// Where AWS keys come from, in the order of AWS's own tools
// (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html):
// a profile that the reference names, else AWS_ACCESS_KEY_ID and its friends of
// the environment, else AWS_PROFILE or the default profile. Of a profile, keys and
// role_arn with source_profile are read here; all else (SSO, credential_process,
// MFA, the metadata service) is the AWS CLI's part, which has it all:
// `aws configure export-credentials`, of its version 2.

const (
	// awsSkew: short-lived keys this close to their end are not used any more.
	awsSkew = 2 * time.Minute
	// maxRoles bounds a chain of source_profile.
	maxRoles = 5
	// maxConfig bounds each of the shared files, in bytes.
	maxConfig = 1 << 20
)

// awsChain is where the keys for one reference come from.
type awsChain struct {
	r       *Resolver
	profile string // "" for the environment's keys
	files   map[string]map[string]string
}

var awsProfileName = pattern(`^[A-Za-z0-9_@+=,.][A-Za-z0-9_@+=,. /:-]{0,127}$`)

func (r *Resolver) awsChain(profile string) (*awsChain, error) {
	c := &awsChain{r: r, profile: profile}
	if profile == "" && (r.o.Getenv("AWS_ACCESS_KEY_ID") == "" || r.o.Getenv("AWS_SECRET_ACCESS_KEY") == "") {
		if c.profile = r.o.Getenv("AWS_PROFILE"); c.profile == "" {
			c.profile = "default"
		}
	}
	if c.profile != "" && !awsProfileName().MatchString(c.profile) {
		return nil, fmt.Errorf("%s is not an AWS profile's name", quote(c.profile))
	}
	var err error
	c.files, err = r.awsFiles()
	return c, err
}

// region is what the environment says, else the profile.
func (c *awsChain) region() string {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if v := c.r.o.Getenv(name); v != "" {
			return v
		}
	}
	profile := c.profile
	if profile == "" {
		profile = "default"
	}
	return c.files[profile]["region"]
}

func (c *awsChain) keys(ctx context.Context, region string) (awsKeys, error) {
	if c.profile == "" {
		return c.r.awsEnvironment(), nil
	}
	return c.of(ctx, c.profile, region, nil)
}

func (r *Resolver) awsEnvironment() awsKeys {
	return awsKeys{
		id:      r.o.Getenv("AWS_ACCESS_KEY_ID"),
		secret:  secret.New(r.o.Getenv("AWS_SECRET_ACCESS_KEY")),
		session: secret.New(r.o.Getenv("AWS_SESSION_TOKEN")),
	}
}

// of returns the keys of a profile; above are the profiles that it is the
// source of.
func (c *awsChain) of(ctx context.Context, profile, region string, above []string) (awsKeys, error) {
	if slices.Contains(above, profile) && c.files[profile]["aws_access_key_id"] == "" || len(above) >= maxRoles {
		return awsKeys{}, fmt.Errorf("AWS profile %s: its source_profile leads to itself", quote(profile))
	}
	p := c.files[profile]
	if p == nil && (profile != "default" || len(above) > 0) {
		return awsKeys{}, fmt.Errorf("there is no AWS profile %s", quote(profile))
	}
	self := slices.Contains(above, profile)
	if role := p["role_arn"]; role != "" && !self && p["mfa_serial"] == "" && (p["source_profile"] != "" || p["credential_source"] == "Environment") {
		return c.assume(ctx, profile, region, above)
	}
	if p["aws_access_key_id"] != "" && (p["role_arn"] == "" || self) {
		return awsKeys{p["aws_access_key_id"], secret.New(p["aws_secret_access_key"]), secret.New(p["aws_session_token"])}, nil
	}
	return c.export(ctx, profile)
}

// assume takes a role with the keys of another profile
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
func (c *awsChain) assume(ctx context.Context, profile, region string, above []string) (awsKeys, error) {
	p := c.files[profile]
	if keys, ok := c.r.leased("aws-role " + profile + " " + p["role_arn"]); ok {
		return keys, nil
	}
	var source awsKeys
	var err error
	if p["credential_source"] == "Environment" {
		source = c.r.awsEnvironment()
	} else if source, err = c.of(ctx, p["source_profile"], region, append(above, profile)); err != nil {
		return awsKeys{}, err
	}
	session := p["role_session_name"]
	if session == "" {
		session = fmt.Sprintf("kb-%d", c.r.o.Now().Unix())
	}
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {p["role_arn"]}, "RoleSessionName": {session}}
	for key, name := range map[string]string{"external_id": "ExternalId", "duration_seconds": "DurationSeconds"} {
		if p[key] != "" {
			form.Set(name, p[key])
		}
	}
	at := region
	if v := p["region"]; awsRegion().MatchString(v) {
		at = v
	}
	status, answer, err := c.r.awsSend(ctx, source, "sts", at, http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}}, []byte(form.Encode()))
	if err != nil {
		return awsKeys{}, err
	}
	var out struct {
		Credentials awsAnswer `xml:"AssumeRoleResult>Credentials"`
		Code        string    `xml:"Error>Code"`
	}
	err = xml.Unmarshal(answer, &out)
	if status != http.StatusOK {
		return awsKeys{}, fmt.Errorf("assume the role of AWS profile %s: %w", quote(profile), &StatusError{awsHost("sts", at), status, word(out.Code)})
	}
	if err != nil || out.Credentials.AccessKeyID == "" {
		return awsKeys{}, fmt.Errorf("assume the role of AWS profile %s: the answer is not what STS documents", quote(profile))
	}
	return c.r.lease("aws-role "+profile+" "+p["role_arn"], out.Credentials), nil
}

// awsAnswer is short-lived keys, of STS in XML and of the CLI in JSON.
type awsAnswer struct {
	AccessKeyID     string `xml:"AccessKeyId" json:"AccessKeyId"`
	SecretAccessKey string
	SessionToken    string
	Expiration      string
}

// export has the AWS CLI find a profile's keys
// (https://docs.aws.amazon.com/cli/latest/reference/configure/export-credentials.html).
func (c *awsChain) export(ctx context.Context, profile string) (awsKeys, error) {
	if keys, ok := c.r.leased("aws-export " + profile); ok {
		return keys, nil
	}
	args := []string{"configure", "export-credentials", "--format", "process"}
	if profile != "default" {
		args = append(args, "--profile", profile)
	}
	printed, err := c.r.run(ctx, "aws", args...)
	if err != nil {
		return awsKeys{}, fmt.Errorf("find keys of AWS profile %s: %w", quote(profile), err)
	}
	var out awsAnswer
	if err := json.Unmarshal(printed, &out); err != nil || out.AccessKeyID == "" {
		return awsKeys{}, fmt.Errorf("find keys of AWS profile %s: aws printed no keys", quote(profile))
	}
	return c.r.lease("aws-export "+profile, out), nil
}

// lease keeps short-lived keys until they end. Keys without an end are for this
// once: the CLI may have others next time.
func (r *Resolver) lease(name string, a awsAnswer) awsKeys {
	keys := awsKeys{a.AccessKeyID, secret.New(a.SecretAccessKey), secret.New(a.SessionToken)}
	end, err := time.Parse(time.RFC3339, a.Expiration)
	if err != nil {
		return keys
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cloud[name] = &lease{aws: keys, until: end.Add(-awsSkew)}
	return keys
}

func (r *Resolver) leased(name string) (awsKeys, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.cloud[name]
	if l == nil || !r.o.Now().Before(l.until) {
		return awsKeys{}, false
	}
	return l.aws, true
}

// awsFiles reads the shared files: what the credentials file says of a profile
// beats what the config file says.
func (r *Resolver) awsFiles() (map[string]map[string]string, error) {
	profiles := map[string]map[string]string{}
	for _, f := range []struct{ variable, name, prefix string }{
		{"AWS_CONFIG_FILE", "config", "profile "},
		{"AWS_SHARED_CREDENTIALS_FILE", "credentials", ""},
	} {
		path := r.o.Getenv(f.variable)
		if path == "" {
			path = filepath.Join(r.o.Home, ".aws", f.name)
		}
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue // not there
		}
		data, err := readRegular(real, maxConfig)
		if err != nil {
			return nil, fmt.Errorf("read AWS %s file: %w", f.name, err)
		}
		addProfiles(profiles, string(data), f.prefix)
	}
	return profiles, nil
}

// addProfiles reads an AWS ini file: sections, "key = value" lines, comments on
// lines of their own, and nested settings (indented), which mean nothing here.
func addProfiles(profiles map[string]map[string]string, text, prefix string) {
	var at map[string]string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case trimmed[0] == '[':
			at = nil
			name, _, closed := strings.Cut(trimmed[1:], "]")
			if name = strings.TrimSpace(name); !closed {
				continue
			}
			own, isProfile := strings.CutPrefix(name, prefix)
			if !isProfile && name != "default" { // [sso-session x], [services x]
				continue
			}
			if own = strings.TrimSpace(own); profiles[own] == nil {
				profiles[own] = map[string]string{}
			}
			at = profiles[own]
		case at == nil || line[0] == ' ' || line[0] == '\t':
		default:
			if key, value, ok := strings.Cut(line, "="); ok {
				at[strings.ToLower(strings.TrimSpace(key))] = strings.TrimSpace(value)
			}
		}
	}
}
