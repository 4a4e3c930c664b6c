package providers

import "testing"

// A request that returns a credential is found however its path is dressed.
func TestAttackMintPathDressedUp(t *testing.T) {
	p := shippedProvider(t, "gitlab")
	based, err := p.ForBase("")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/api/v4/user/personal_access_tokens",
		"/api/v4/user/personal_access_tokens/",
		"/api/v4/user/personal_access_tokens//",
		"/api/v4/user/Personal_Access_Tokens",
		"/api/v4/user/personal_access_tokens.json",
		"/API/V4/user/personal_access_tokens.JSON/",
		"/api/v4/user%2Fpersonal_access_tokens",
		"/api/v4%2Fuser%2Fpersonal_access_tokens/",
	} {
		if _, ok := based.MintFor("gitlab.com", 443, "POST", path); !ok {
			t.Errorf("%s is not seen as a mint", path)
		}
		if _, ok := based.MintFor("gitlab.com", 443, "post", path); !ok {
			t.Errorf("%s by a lower-case method is not seen as a mint", path)
		}
	}
	// Positive control: what is none is none.
	for _, row := range [][3]string{
		{"gitlab.com", "GET", "/api/v4/user/personal_access_tokens"},
		{"gitlab.com", "POST", "/api/v4/user/keys"},
		{"other.example", "POST", "/api/v4/user/personal_access_tokens"},
	} {
		if _, ok := based.MintFor(row[0], 443, row[1], row[2]); ok {
			t.Errorf("%v is seen as a mint", row)
		}
	}
	if _, ok := p.MintFor("gitlab.com", 443, "POST", "/api/v4/user/personal_access_tokens"); ok {
		t.Error("a definition without a base URL has a host")
	}
}

func TestRedactPath(t *testing.T) {
	p := &Provider{SecretPaths: []string{"/bot*/**", "/services/*/*/*"}}
	if err := p.prepareSecret(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/bot123:secret/getMe":     "/bot*/getMe",
		"/BOT123:secret/getMe":     "/bot*/getMe",
		"/services/T0/B0/XXXX":     "/services/*/*/*",
		"/services/T0/B0/XXXX/":    "/services/*/*/*/",
		"/%73ervices/T0/B0/XXXX":   "/services/*/*/*",
		"/services//T0/B0/XXXX":    "/services/*/*/*",
		"//services/T0/B0/XXXX":    "/services/*/*/*",
		"/x/../services/T0/B0/XX":  "/services/*/*/*",
		"/services%2FT0%2FB0%2FXX": "/services/*/*/*",
		"/a%20b//c":                "/a%20b//c",
		"/services/T0/B0":          "/services/T0/B0",
		"/services/T0/B0/XXXX/YYY": "/services/*/*/*/YYY",
		"/":                        "/",
	} {
		if got := p.RedactPath(path); got != want {
			t.Errorf("RedactPath(%q) = %q, want %q", path, got, want)
		}
	}
}
