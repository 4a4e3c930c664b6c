package broker

import (
	"errors"
	"fmt"
	"net/http"

	"kb/internal/plain"
	"kb/internal/refresh"
	"kb/proxy"
)

// Codes of the refusals that the broker makes; the proxy has its own.
const (
	CodeUnknownProfile = "profile-not-granted"
	CodeConflict       = "profile-conflict"
	CodeLoginNeeded    = "login-needed"
	CodeWrongAccount   = "wrong-account"
	CodeMint           = "mint-denied"
	CodeEgress         = "host-not-listed"
	CodePath           = "bad-path"
	CodeAudit          = "audit-failed"
	CodePlain          = "plain-http"
	CodeOffline        = "offline"
)

func refuse(code, message, fix string) *proxy.Refusal {
	return &proxy.Refusal{Status: http.StatusForbidden, Code: code, Message: message, Fix: fix}
}

func refuseNotGranted(profile, why string) *proxy.Refusal {
	r := refuse(CodeUnknownProfile,
		fmt.Sprintf("this session may not use profile %q: %s", plain.Clean(profile), why),
		fmt.Sprintf("run kb exec --also %s -- …", plain.Clean(profile)))
	r.Profile = profile
	return r
}

func refuseConflict(a, b claim) *proxy.Refusal {
	return refuse(CodeConflict,
		fmt.Sprintf("two profiles are meant at once: %q (%s) and %q (%s)", a.profile, a.why, b.profile, b.why),
		"name one profile only, by the Kb-Profile header or by its placeholder")
}

func refuseNoLogin(profile, provider, as string) *proxy.Refusal {
	message := fmt.Sprintf("profile %q has no login at %s", profile, provider)
	fix := fmt.Sprintf("run kb login %s -p %s", provider, profile)
	if as != "" {
		message += fmt.Sprintf(" named %q", plain.Clean(as))
		fix += " --as " + plain.Clean(as)
	}
	r := refuse(CodeLoginNeeded, message, fix)
	r.Profile, r.Provider = profile, provider
	return r
}

func refuseMint(profile, provider string) *proxy.Refusal {
	r := refuse(CodeMint,
		fmt.Sprintf("this %s request makes a new credential, which the agent would hold; kb denies it", provider),
		"make the credential yourself, outside the session, and hand it to kb with kb login "+provider)
	r.Profile, r.Provider = profile, provider
	return r
}

func refuseAccount(profile, provider, want, have string) *proxy.Refusal {
	if have == "" {
		have = "nobody known"
	}
	r := refuse(CodeWrongAccount,
		fmt.Sprintf("profile %q expects account %q at %s, and its login answers as %s", profile, want, provider, have),
		fmt.Sprintf("run kb login %s -p %s --replace", provider, profile))
	r.Profile, r.Provider = profile, provider
	return r
}

func refuseAudit() *proxy.Refusal {
	r := refuse(CodeAudit, "the audit log cannot be written, so nothing is sent", "run kb audit verify, free disk space, and start the session again")
	r.Status = http.StatusServiceUnavailable
	return r
}

func refusePath() *proxy.Refusal {
	r := refuse(CodePath, "the path can be read in two ways", "send a path without .., //, encoded slashes or encoded dots, and none in a field (X-Original-URL)")
	r.Status = http.StatusBadRequest
	return r
}

func refuseEgress(profile, host string) *proxy.Refusal {
	r := refuse(CodeEgress, fmt.Sprintf("profile %q lets its sessions reach listed hosts only, and %s is not one", profile, plain.Clean(host)),
		fmt.Sprintf("run kb profile set %s --egress open", profile))
	r.Profile = profile
	return r
}

func refuseBroken(profile, provider, as string) *proxy.Refusal {
	r := refuseNoLogin(profile, provider, as)
	r.Message = fmt.Sprintf("the login of profile %q at %s cannot be used", profile, provider)
	r.Fix = "run kb status, which says why"
	return r
}

// refuseUnusable says why a login has nothing to send.
func refuseUnusable(shown string, c *credentials, err error) *proxy.Refusal {
	var over *refresh.NeedsLoginError
	var offline *refresh.OfflineError
	var job *OwnDeviceError
	provider, as := c.key.provider, c.key.as
	switch {
	case errors.As(err, &job):
		r := refuseNoLogin(shown, provider, as)
		r.Message = job.Error()
		return r
	case errors.As(err, &over) && c.method.Renews():
		r := refuseNoLogin(shown, provider, as)
		r.Message = fmt.Sprintf("the login of profile %q at %s has ended: %s", shown, provider, plain.Clean(over.Reason))
		return r
	case errors.As(err, &over):
		r := refuseNoLogin(shown, provider, as)
		r.Message = fmt.Sprintf("%s gives the login of profile %q no token: %s", provider, shown, plain.Clean(over.Reason))
		r.Fix += " --replace"
		return r
	case errors.As(err, &offline):
		r := refuse(CodeOffline,
			fmt.Sprintf("the token of profile %q at %s is over, and a new one cannot be got now: %s", shown, provider, plain.Clean(offline.Reason)),
			"try again when the provider can be reached; kb status says when kb does")
		r.Status, r.Profile, r.Provider = http.StatusServiceUnavailable, shown, provider
		return r
	}
	return refuseBroken(shown, provider, as)
}
