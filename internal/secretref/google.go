package secretref

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kb/internal/secret"
)

// Google Secret Manager
// (https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access;
// for a location, https://cloud.google.com/secret-manager/regional-secrets/access-regional-secret).

// gcloudToken is how long a token of gcloud's is used: it lasts up to an hour,
// and gcloud does not say how much of it is left.
const gcloudToken = 5 * time.Minute

var (
	googleProject  = pattern(`^[a-z0-9][a-z0-9.:-]{0,62}$`)
	googleSecret   = pattern(`^[A-Za-z0-9_-]{1,255}$`)
	googleVersion  = pattern(`^[A-Za-z0-9_-]{1,63}$`)
	googleLocation = pattern(`^[a-z]+(-[a-z]+)*[0-9]{1,2}$`)
)

// googleName is the secret that a reference names: PROJECT/SECRET, or as Google
// prints it, projects/P/secrets/S/versions/V.
func googleName(p *reference) (project, name, version string, err error) {
	parts := strings.Split(p.name, "/")
	if version = p.query["version"]; version == "" {
		version = "latest"
	}
	switch {
	case len(parts) == 2:
		project, name = parts[0], parts[1]
	case len(parts) == 4 && parts[0] == "projects" && parts[2] == "secrets":
		project, name = parts[1], parts[3]
	case len(parts) == 6 && parts[0] == "projects" && parts[2] == "secrets" && parts[4] == "versions" && p.query["version"] == "":
		project, name, version = parts[1], parts[3], parts[5]
	}
	if !googleProject().MatchString(project) || !googleSecret().MatchString(name) || !googleVersion().MatchString(version) {
		return "", "", "", errors.New("it is gcpsm://PROJECT/SECRET, with ?version=N for another than the latest")
	}
	return project, name, version, nil
}

func checkGoogle(p *reference) error {
	if l := p.query["location"]; l != "" && !googleLocation().MatchString(l) {
		return fmt.Errorf("%s is not a location", quote(l))
	}
	_, _, _, err := googleName(p)
	return err
}

func fetchGoogle(ctx context.Context, r *Resolver, p *reference, _ Source) ([]byte, error) {
	project, name, version, err := googleName(p)
	if err != nil {
		return nil, err
	}
	token, err := r.googleToken(ctx)
	if err != nil {
		return nil, err
	}
	host, at := "secretmanager.googleapis.com", "projects/"+project
	if l := p.query["location"]; l != "" {
		host, at = "secretmanager."+l+".rep.googleapis.com", at+"/locations/"+l
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/v1/"+at+"/secrets/"+name+"/versions/"+version+":access", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	status, answer, err := r.do(ctx, request)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		var fault struct{ Error struct{ Status string } }
		_ = json.Unmarshal(answer, &fault)
		return nil, &StatusError{host, status, word(fault.Error.Status)}
	}
	var out struct {
		Payload struct{ Data, DataCrc32c string }
	}
	if json.Unmarshal(answer, &out) != nil {
		return nil, fmt.Errorf("%s answered what is not JSON", host)
	}
	data, err := base64.StdEncoding.DecodeString(out.Payload.Data)
	if err != nil {
		return nil, fmt.Errorf("%s answered what is not base64", host)
	}
	if sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)); out.Payload.DataCrc32c != "" && out.Payload.DataCrc32c != strconv.FormatUint(uint64(sum), 10) {
		return nil, fmt.Errorf("%s answered with a value that does not fit its checksum", host)
	}
	return p.pick(data)
}

// googleToken is an access token: of the service account whose file
// GOOGLE_APPLICATION_CREDENTIALS names, else of gcloud.
func (r *Resolver) googleToken(ctx context.Context) (secret.Value, error) {
	file := r.o.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
	name := "google " + file
	r.mu.Lock()
	l := r.cloud[name]
	r.mu.Unlock()
	if l != nil && r.o.Now().Before(l.until) {
		return l.token, nil
	}
	token, until, err := r.newGoogleToken(ctx, file)
	if err != nil {
		return secret.Value{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cloud[name] = &lease{token: token, until: until}
	return token, nil
}

func (r *Resolver) newGoogleToken(ctx context.Context, file string) (secret.Value, time.Time, error) {
	args := []string{"auth", "print-access-token"}
	if file != "" {
		real, err := filepath.EvalSymlinks(file)
		if err != nil {
			return secret.Value{}, time.Time{}, fmt.Errorf("read GOOGLE_APPLICATION_CREDENTIALS: %w", withoutPath(err))
		}
		data, err := readRegular(real, maxValue)
		if err != nil {
			return secret.Value{}, time.Time{}, fmt.Errorf("read GOOGLE_APPLICATION_CREDENTIALS: %w", err)
		}
		var kind struct{ Type string }
		if json.Unmarshal(data, &kind) == nil && kind.Type == "service_account" && r.o.GoogleToken != nil {
			token, expires, err := r.o.GoogleToken(ctx, secret.New(string(data)))
			return token, expires.Add(-time.Minute), err
		}
		args = []string{"auth", "application-default", "print-access-token"}
	}
	printed, err := r.run(ctx, "gcloud", args...)
	if err != nil {
		return secret.Value{}, time.Time{}, err
	}
	token := secret.New(strings.TrimSpace(string(printed)))
	if token.IsZero() || token.Check() != nil {
		return secret.Value{}, time.Time{}, errors.New("gcloud printed no token")
	}
	return token, r.o.Now().Add(gcloudToken), nil
}
