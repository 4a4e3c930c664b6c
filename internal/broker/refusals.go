package broker

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"kb/internal/control"
	"kb/internal/plain"
	"kb/internal/policy"
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
	CodeOffline        = "offline"
)

// Codes of what policy refuses.
const (
	CodePolicy            = "policy-denied"
	CodeLimit             = "policy-limit"
	CodeApprovalDenied    = "approval-denied"
	CodeApprovalTimeout   = "approval-timeout"
	CodeApprovalFull      = "approval-full"
	CodeApprovalAbandoned = "approval-abandoned"
)

func refuse(code, message, fix string) *proxy.Refusal {
	return &proxy.Refusal{Status: http.StatusForbidden, Code: code, Message: message, Fix: fix}
}

// refuseBy is a refusal that is about a login of a profile.
func refuseBy(code, message, fix, profile, provider string) *proxy.Refusal {
	r := refuse(code, message, fix)
	r.Profile, r.Provider = profile, provider
	return r
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
	return refuseBy(CodeLoginNeeded, message, fix, profile, provider)
}

func refuseMint(profile, provider string) *proxy.Refusal {
	return refuseBy(CodeMint,
		fmt.Sprintf("this %s request makes a new credential, which the agent would hold; kb denies it", provider),
		"make the credential yourself, outside the session, and hand it to kb with kb login "+provider, profile, provider)
}

func refuseAccount(profile, provider, want, have string) *proxy.Refusal {
	if have == "" {
		have = "nobody known"
	}
	return refuseBy(CodeWrongAccount,
		fmt.Sprintf("profile %q expects account %q at %s, and its login answers as %s", profile, want, provider, have),
		fmt.Sprintf("run kb login %s -p %s --replace", provider, profile), profile, provider)
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

// showLines is what to do about a line.
func showLines(line *policy.Rule) string {
	if line == nil || line.ID == "" {
		return "run kb policy ls"
	}
	return fmt.Sprintf("run kb policy ls; kb policy rm %s takes the line away", line.ID)
}

func refusePolicy(profile, provider string, v policy.Verdict, mint bool) *proxy.Refusal {
	r := refuseBy(CodePolicy, fmt.Sprintf("profile %q does not allow this request: %s", profile, v.Reason), showLines(v.Rule), profile, provider)
	if mint {
		r.Code = CodeMint
	}
	return r
}

// refuseConnection is about a connection that nobody reads, so that nothing in
// it can be held for a person.
func refuseConnection(profile string, v policy.Verdict) *proxy.Refusal {
	r := refusePolicy(profile, "", v, false)
	if v.Effect == policy.Ask {
		r.Message += "; no login has a rule for the host, so kb does not read the connection and cannot ask about what is in it"
	}
	return r
}

// refuseLimit answers 429 and not 403: the request is right and will be let
// through later, which programs know by that status (RFC 6585 §4). Like every
// refusal it says x-should-retry: false, so that no library sends it again by
// itself, at once and three times, and the message says when.
func refuseLimit(profile, provider string, line *policy.Rule, wait time.Duration) *proxy.Refusal {
	seconds := int((wait + time.Second - 1) / time.Second)
	r := refuseBy(CodeLimit, fmt.Sprintf("profile %q has used up what policy %s allows: %s", profile, line.ID, line),
		fmt.Sprintf("send it again in %d s; %s", seconds, showLines(line)), profile, provider)
	r.Status = http.StatusTooManyRequests
	return r
}

func refuseDenied(profile, provider string, line *policy.Rule, how string) *proxy.Refusal {
	return refuseBy(CodeApprovalDenied, fmt.Sprintf("policy %s asks a person about this request, and %s", line.ID, how),
		"do without it, or talk to the person; "+showLines(line), profile, provider)
}

func refuseUnanswered(profile, provider string, line *policy.Rule) *proxy.Refusal {
	return refuseBy(CodeApprovalTimeout, fmt.Sprintf("policy %s asks a person about this request, and nobody answered within %d s", line.ID, int(holdTime.Seconds())),
		"send it again while a person watches kb, or has kb approve at hand", profile, provider)
}

func refuseAbandoned(profile, provider string) *proxy.Refusal {
	return refuseBy(CodeApprovalAbandoned, "the client or the session ended while the request waited for a person", "send it again, and wait", profile, provider)
}

// refuseLong is about a request that nobody could read before saying yes to it.
func refuseLong(profile, provider string, line *policy.Rule) *proxy.Refusal {
	r := refuseBy(CodePath, fmt.Sprintf("policy %s asks a person about this request, and its path is too long to be shown whole", line.ID),
		fmt.Sprintf("send a path of %d bytes at most; %s", control.MaxText, showLines(line)), profile, provider)
	r.Status = http.StatusBadRequest
	return r
}

// refuseMethods is about a request that names more methods than anybody means.
func refuseMethods() *proxy.Refusal {
	r := refuse(CodePath, fmt.Sprintf("the request names more than %d methods in its fields and parameters", maxMethods), "name one method, in the request line")
	r.Status = http.StatusBadRequest
	return r
}

func refuseFull(profile, provider string) *proxy.Refusal {
	return refuseBy(CodeApprovalFull, fmt.Sprintf("%d requests of this session wait for a person already, or %d came within a minute", holdMax, holdRate),
		"run kb approve or kb deny for those that wait", profile, provider)
}
