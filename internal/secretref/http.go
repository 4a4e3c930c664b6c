package secretref

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	// serviceTimeout is for one request to a service.
	serviceTimeout = 10 * time.Second
	// maxAnswer bounds an answer, in bytes: a value in base64 with what is said
	// around it.
	maxAnswer = 256 << 10
)

// StatusError says that a service did not give the value.
type StatusError struct {
	Host   string
	Status int
	Code   string // the service's own word for it, letters only; empty when there is none
}

func (e *StatusError) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("%s answered %d %s", e.Host, e.Status, e.Code)
	}
	return fmt.Sprintf("%s answered %d", e.Host, e.Status)
}

// do sends a request and returns the answer's body, whatever the status. Errors
// hold the host and no more of the URL.
func (r *Resolver) do(ctx context.Context, request *http.Request) (status int, body []byte, err error) {
	client, err := r.client()
	if err != nil {
		return 0, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, serviceTimeout)
	defer cancel()
	request.Header.Set("User-Agent", "kb")
	response, err := client.Do(request.WithContext(ctx))
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s: %w", request.URL.Host, withoutURL(err))
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return 0, nil, fmt.Errorf("ask %s: %w", request.URL.Host, withoutURL(err))
	}
	if len(body) > maxAnswer {
		return 0, nil, fmt.Errorf("ask %s: the answer is longer than %d bytes", request.URL.Host, maxAnswer)
	}
	return response.StatusCode, body, nil
}

// withoutURL drops the request's URL from an error.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}

// word is s if it is nothing but letters, as services' codes are; else empty.
func word(s string) string {
	if len(s) > 80 {
		return ""
	}
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && s[i] != '_' && s[i] != '.' {
			return ""
		}
	}
	return s
}
