package testkit

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
)

// Authorize plays the person and the browser: it opens an authorization URL,
// signs in as name, agrees to everything, and returns the address that the
// browser is sent to at last, which is not the server's and is not opened.
func (o *OIDC) Authorize(ctx context.Context, address, name string) (string, error) {
	b, err := o.browser(name)
	if err != nil {
		return "", err
	}
	return b.walk(ctx, address, nil)
}

// Approve plays the person who opens the complete verification address of a
// device flow, signs in as name and says yes.
func (o *OIDC) Approve(ctx context.Context, complete, name string) error {
	return o.decide(ctx, complete, name, nil)
}

// Deny plays the person who says no.
func (o *OIDC) Deny(ctx context.Context, complete string) error {
	return o.decide(ctx, complete, "nobody", url.Values{"abort": {"yes"}})
}

func (o *OIDC) decide(ctx context.Context, complete, name string, answer url.Values) error {
	b, err := o.browser(name)
	if err != nil {
		return err
	}
	to, err := b.walk(ctx, complete, answer)
	if err == nil && to != "" {
		return errors.New("the device's page led away from the server")
	}
	return err
}

// personBrowser keeps cookies and fills in the server's forms.
type personBrowser struct {
	client *http.Client
	origin string
	name   string
}

func (o *OIDC) browser(name string) (*personBrowser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &personBrowser{
		client: &http.Client{Transport: o.client.Transport, CheckRedirect: o.client.CheckRedirect, Jar: jar},
		origin: o.Issuer, name: name,
	}, nil
}

// steps bounds a walk: sign-in and consent take some ten.
const steps = 30

// walk follows redirects and submits forms, until it is sent away from the
// server or a page has no form; then the result is empty. device is what is
// added to the form that asks whether a device's code is right.
func (b *personBrowser) walk(ctx context.Context, address string, device url.Values) (string, error) {
	method, form := http.MethodGet, url.Values(nil)
	for range steps {
		if address != b.origin && !strings.HasPrefix(address, b.origin+"/") {
			return address, nil
		}
		res, page, err := b.ask(ctx, method, address, form)
		if err != nil {
			return "", err
		}
		if res.StatusCode >= 300 && res.StatusCode < 400 {
			to, err := res.Location()
			if err != nil {
				return "", err
			}
			method, address, form = http.MethodGet, to.String(), nil
			continue
		}
		f := formOn(page)
		switch {
		case strings.Contains(page, "Sign-in Success"), strings.Contains(page, "interrupted") && device != nil:
			return "", nil
		case f == nil || res.StatusCode >= 400:
			return "", fmt.Errorf("the server's page has status %d and nothing to go on with: %s", res.StatusCode, words(page))
		}
		to, err := res.Request.URL.Parse(f.action)
		if err != nil {
			return "", err
		}
		method, address, form = http.MethodPost, to.String(), f.values
		if form.Has("login") {
			form.Set("login", b.name)
			form.Set("password", "any")
		}
		if form.Has("confirm") {
			for k, v := range device {
				form[k] = v
			}
		}
	}
	return "", errors.New("the server's pages have no end")
}

func (b *personBrowser) ask(ctx context.Context, method, address string, form url.Values) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, "", err
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	return res, string(page), err
}

// pageForm is the one form of a page of the server's.
type pageForm struct {
	action string
	values url.Values
}

var (
	formTag   = regexp.MustCompile(`(?s)<form[^>]*\baction="([^"]*)"[^>]*>(.*?)</form>`)
	inputTag  = regexp.MustCompile(`(?s)<input[^>]*>`)
	nameAttr  = regexp.MustCompile(`\bname="([^"]*)"`)
	valueAttr = regexp.MustCompile(`\bvalue="([^"]*)"`)
	anyTag    = regexp.MustCompile(`(?s)<style.*?</style>|<[^>]*>`)
)

func formOn(page string) *pageForm {
	m := formTag.FindStringSubmatch(page)
	if m == nil {
		return nil
	}
	f := &pageForm{action: html.UnescapeString(m[1]), values: url.Values{}}
	for _, tag := range inputTag.FindAllString(m[2], -1) {
		name, value := nameAttr.FindStringSubmatch(tag), valueAttr.FindStringSubmatch(tag)
		switch {
		case name == nil:
		case value == nil:
			f.values.Set(name[1], "")
		default:
			f.values.Set(name[1], html.UnescapeString(value[1]))
		}
	}
	return f
}

// words is a page's text, for an error.
func words(page string) string {
	t := strings.Join(strings.Fields(anyTag.ReplaceAllString(page, " ")), " ")
	return t[:min(len(t), 300)]
}
