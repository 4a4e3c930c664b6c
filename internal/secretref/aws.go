package secretref

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"kb/internal/secret"
)

// AWS is asked by plain requests that the SDK's signer signs. Which keys sign
// them is in awskeys.go.
//
//	GetSecretValue  https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
//	GetParameter    https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameter.html

// awsARN takes the region and the resource's service of an ARN:
// arn:partition:service:region:account:resource.
var awsARN = pattern(`^arn:aws[a-z-]*:(secretsmanager|ssm):([a-z0-9-]+):\d{12}:.+$`)

// awsRegion is what a region looks like; it becomes part of a host name.
var awsRegion = pattern(`^[a-z]{2}(-[a-z]+)+-\d{1,2}$`)

func checkAWS(service string) func(p *reference) error {
	return func(p *reference) error {
		if strings.HasPrefix(p.name, "arn:") {
			if m := awsARN().FindStringSubmatch(p.name); m == nil || m[1] != service {
				return fmt.Errorf("that is not an ARN of %s", service)
			}
		}
		if region := p.query["region"]; region != "" && !awsRegion().MatchString(region) {
			return fmt.Errorf("%s is not a region", quote(region))
		}
		if strings.HasPrefix(p.query["profile"], "-") {
			return errors.New("a profile's name does not begin with a hyphen")
		}
		return nil
	}
}

func fetchSecretsManager(ctx context.Context, r *Resolver, p *reference, _ Source) ([]byte, error) {
	input := map[string]string{"SecretId": p.name}
	if v := p.query["version"]; v != "" {
		input["VersionId"] = v
	}
	if v := p.query["stage"]; v != "" {
		input["VersionStage"] = v
	}
	var out struct {
		SecretString string
		SecretBinary string // base64
	}
	if err := r.awsCall(ctx, p, "secretsmanager", "secretsmanager.GetSecretValue", input, &out); err != nil {
		return nil, err
	}
	data := []byte(out.SecretString)
	if out.SecretString == "" {
		var err error
		if data, err = base64.StdEncoding.DecodeString(out.SecretBinary); err != nil {
			return nil, errors.New("the answer is not what Secrets Manager documents")
		}
	}
	return p.pick(data)
}

func fetchParameter(ctx context.Context, r *Resolver, p *reference, _ Source) ([]byte, error) {
	name := p.name
	if strings.Contains(name, "/") && !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "arn:") {
		name = "/" + name // a name with a hierarchy begins with a slash
	}
	// "name:version" and "name:label" are AWS's own way to name one.
	if v := p.query["version"] + p.query["label"]; v != "" {
		name += ":" + v
	}
	var out struct{ Parameter struct{ Value string } }
	if err := r.awsCall(ctx, p, "ssm", "AmazonSSM.GetParameter", map[string]any{"Name": name, "WithDecryption": true}, &out); err != nil {
		return nil, err
	}
	return p.pick([]byte(out.Parameter.Value))
}

// awsCall makes one signed call of AWS's JSON 1.1 protocol.
func (r *Resolver) awsCall(ctx context.Context, p *reference, service, target string, in, out any) error {
	chain, err := r.awsChain(p.query["profile"])
	if err != nil {
		return err
	}
	region := p.query["region"]
	if m := awsARN().FindStringSubmatch(p.name); region == "" && m != nil {
		region = m[2]
	}
	if region == "" {
		region = chain.region()
	}
	if !awsRegion().MatchString(region) {
		return errors.New("no AWS region: add ?region=…, or set AWS_REGION or the profile's region")
	}
	keys, err := chain.keys(ctx, region)
	if err != nil {
		return err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	status, answer, err := r.awsSend(ctx, keys, service, region, http.Header{
		"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {target},
	}, body)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		var fault struct {
			Type string `json:"__type"`
		}
		_ = json.Unmarshal(answer, &fault)
		return &StatusError{awsHost(service, region), status, word(fault.Type[strings.LastIndexByte(fault.Type, '#')+1:])}
	}
	if json.Unmarshal(answer, out) != nil {
		return fmt.Errorf("%s answered what is not JSON", awsHost(service, region))
	}
	return nil
}

// awsSend signs and sends one request.
func (r *Resolver) awsSend(ctx context.Context, keys awsKeys, service, region string, header http.Header, body []byte) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+awsHost(service, region)+"/", bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	request.Header = header
	sum := sha256.Sum256(body)
	credentials := aws.Credentials{AccessKeyID: keys.id, SecretAccessKey: keys.secret.Reveal(), SessionToken: keys.session.Reveal()}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), service, region, r.o.Now()); err != nil {
		return 0, nil, errors.New("the request could not be signed")
	}
	return r.do(ctx, request)
}

// awsHost is a service's regional endpoint
// (https://docs.aws.amazon.com/general/latest/gr/rande.html).
func awsHost(service, region string) string {
	host := service + "." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		host += ".cn"
	}
	return host
}

// awsKeys sign requests.
type awsKeys struct {
	id              string
	secret, session secret.Value
}
