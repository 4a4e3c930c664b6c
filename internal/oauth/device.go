package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"kb/internal/plain"
	"kb/internal/secret"
)

const (
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

	// deviceInterval is what RFC 8628 section 3.2 says where a server does not,
	// and slow_down adds the same (section 3.5).
	deviceInterval = 5 * time.Second
	// deviceIntervalMax bounds the server's own word and what slow_down makes
	// of it, so that a person who said yes is not left waiting.
	deviceIntervalMax = time.Minute
	// deviceLife is how long a code is asked for where the server does not say;
	// deviceLifeMax the most that is believed. Known servers say 10 to 30 min.
	deviceLife    = 10 * time.Minute
	deviceLifeMax = time.Hour
)

// Device is a device authorization flow (RFC 8628): a person types the code at
// the address, on any machine, and meanwhile the token endpoint is asked.
type Device struct {
	UserCode                string
	VerificationURI         string // https
	VerificationURIComplete string // with the code in it, for a link or a QR code; may be empty
	Expires                 time.Time
	Interval                time.Duration // between questions; slow_down makes it longer

	f      *Flows
	server Server
	client Client
	code   secret.Value
}

// DevicePending is a flow to be gone on with later, in another process.
type DevicePending struct {
	Code                    secret.Value
	UserCode                string
	VerificationURI         string
	VerificationURIComplete string
	Expires                 time.Time
	Interval                time.Duration
}

// Device starts a flow.
func (f *Flows) Device(ctx context.Context, s Server, c Client, scopes []string) (*Device, error) {
	if _, err := endpoint("token", s.Token); err != nil {
		return nil, err
	}
	v, h := url.Values{}, http.Header{}
	for k, val := range s.Header {
		h.Set(k, val)
	}
	if len(scopes) > 0 {
		v.Set("scope", s.scope(scopes))
	}
	if s.Resource != "" {
		v.Set("resource", s.Resource)
	}
	if err := authenticate(s.ClientAuth, c, v, h); err != nil {
		return nil, err
	}
	v.Set("client_id", c.ID) // section 3.1 wants it; servers that take Basic do not mind
	// The library's own request heeds no context, and its expiry no clock but
	// the machine's.
	a, sent, err := f.post(ctx, "device", http.MethodPost, s.Device, v, s.JSON, h)
	if err != nil {
		return nil, err
	}
	m, err := a.success(sent)
	if err != nil {
		return nil, err
	}
	d := &Device{
		f: f, server: s, client: c,
		UserCode: text(m["user_code"]), VerificationURI: text(m["verification_uri"]),
		VerificationURIComplete: text(m["verification_uri_complete"]), code: secret.New(text(m["device_code"])),
	}
	if d.VerificationURI == "" {
		d.VerificationURI = text(m["verification_url"]) // Google's name for it, from before the RFC
	}
	if d.code.IsZero() || d.code.Check() != nil || len(d.code.Reveal()) > tokenMax {
		return nil, a.odd("the answer has no device code")
	}
	// A person types it: no more than fits a line, nothing that moves a cursor.
	if d.UserCode == "" || len(d.UserCode) > 64 || plain.Clean(d.UserCode) != d.UserCode {
		return nil, a.odd("the answer has no user code that can be typed")
	}
	where, err := visitable(d.VerificationURI)
	if err != nil {
		return nil, a.odd("the answer's verification address cannot be opened safely: " + err.Error())
	}
	// The short way must lead to the same site as the long one that people read.
	if c, err := visitable(d.VerificationURIComplete); err != nil || c.Host != where.Host {
		d.VerificationURIComplete = ""
	}
	life := min(seconds(m["expires_in"]), deviceLifeMax)
	if life <= 0 {
		life = deviceLife
	}
	d.Expires = f.now().Add(life)
	d.Interval = interval(seconds(m["interval"]))
	return d, nil
}

// interval is a server's interval within bounds.
func interval(d time.Duration) time.Duration {
	if d <= 0 {
		return deviceInterval
	}
	return min(max(d, time.Second), deviceIntervalMax)
}

// visitable is an address that a person may be sent to.
func visitable(raw string) (*url.URL, error) {
	u, err := endpoint("verification", raw)
	if err != nil {
		return nil, err
	}
	if plain.Clean(raw) != raw || len(raw) > 2048 {
		return nil, errors.New("too long, or with control characters")
	}
	return u, nil
}

// Pending is what another process needs to go on with the flow.
func (d *Device) Pending() DevicePending {
	return DevicePending{
		Code: d.code, UserCode: d.UserCode, VerificationURI: d.VerificationURI,
		VerificationURIComplete: d.VerificationURIComplete, Expires: d.Expires, Interval: d.Interval,
	}
}

// ResumeDevice goes on with a flow that was started elsewhere.
func (f *Flows) ResumeDevice(s Server, c Client, p DevicePending) *Device {
	return &Device{
		f: f, server: s, client: c, code: p.Code, UserCode: p.UserCode, VerificationURI: p.VerificationURI,
		VerificationURIComplete: p.VerificationURIComplete, Expires: p.Expires, Interval: interval(p.Interval),
	}
}

// Ask asks once whether the person has said yes. An [Error] with the code
// authorization_pending or slow_down says not yet; slow_down also makes
// Interval longer.
func (d *Device) Ask(ctx context.Context) (Tokens, error) {
	if !d.f.now().Before(d.Expires) {
		return Tokens{}, d.expired()
	}
	t, err := d.f.grant(ctx, d.server, d.client, url.Values{"grant_type": {deviceGrant}, "device_code": {d.code.Reveal()}})
	if errors.Is(err, &Error{Code: CodeSlowDown}) {
		d.Interval = min(d.Interval+deviceInterval, deviceIntervalMax)
	}
	return t, err
}

// Wait asks until the person has decided or the code has expired. A server
// that is away for a while is asked again, ever more slowly (section 3.5).
func (d *Device) Wait(ctx context.Context) (Tokens, error) {
	pause := d.Interval
	for {
		select {
		case <-ctx.Done():
			return Tokens{}, fmt.Errorf("wait for the device code: %w", ctx.Err())
		case <-d.f.after(min(pause, d.Expires.Sub(d.f.now()))):
		}
		t, err := d.Ask(ctx)
		e, no := errors.AsType[*Error](err)
		switch {
		case err == nil:
			return t, nil
		case ctx.Err() != nil:
			return Tokens{}, fmt.Errorf("wait for the device code: %w", ctx.Err())
		case !no:
			return Tokens{}, err
		case e.Code == CodeAuthorizationPending, e.Code == CodeSlowDown:
			pause = d.Interval
		case e.Temporary():
			pause = min(max(2*pause, d.Interval, e.RetryAfter), deviceIntervalMax)
		default:
			return Tokens{}, err
		}
	}
}

// expired is the error of a code that nobody confirmed in time.
func (d *Device) expired() error {
	host := ""
	if u, err := url.Parse(d.server.Token); err == nil {
		host = plain.Clean(u.Host)
	}
	return &Error{Endpoint: "token", Host: host, Code: CodeExpiredToken, Description: "nobody confirmed the code in time"}
}
