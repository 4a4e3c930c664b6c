package proxy

// Refusal is an answer of kb's own, from a closed set. It is what the client
// sees as JSON {error, message, fix, profile, provider} with
// x-should-retry: false; detail goes to the audit, not here.
type Refusal struct {
	Status   int    // HTTP status: 400, 403, 407, 413, 421, 429, 431, 500, 502, 503, 504
	Code     string // one of the Code constants
	Message  string // one sentence
	Fix      string // the exact command that a human would run, if one helps
	Profile  string
	Provider string
}

// The codes of refusals that the proxy makes by itself. A policy's own refusals
// bring their own codes.
const (
	CodeMalformed    = "malformed_request"      // 400: not strict HTTP/1.1 (RFC 9112)
	CodeTooLarge     = "request_head_too_large" // 431: a limit of the request head
	CodeProxyAuth    = "proxy_auth_required"    // 407: no session token, or a wrong one
	CodeBodyTooLarge = "request_body_too_large" // 413: a request that kb answers itself, with a body beyond its bound
	CodeMisdirected  = "misdirected_request"    // 421: Host, SNI or :authority is not the CONNECT target
	CodePlainHTTP    = "plain_http"             // 400: plain HTTP inside a tunnel that is intercepted
	CodeMethod       = "method_refused"         // 405: TRACE
	CodeDenied       = "denied"                 // 403: the policy denied the CONNECT and gave no refusal of its own
	CodeAddress      = "address_blocked"        // 403: the name resolves to an address that may not be dialled
	CodePort         = "port_blocked"           // 403: a port that plain tunnels may not reach
	CodePolicy       = "policy_failed"          // 502: the policy failed; detail is in the audit
	CodeCredential   = "credential_invalid"     // 502: a credential cannot travel in the place it is meant for
	CodeResolve      = "name_not_resolved"      // 502: DNS gave no address
	CodeDial         = "upstream_unreachable"   // 502: no connection
	CodeUpstreamTLS  = "upstream_tls"           // 502: handshake or certificate failed
	CodeUpstream     = "upstream_failed"        // 502: the connection ended before an answer, or the answer is not HTTP
	CodeTimeout      = "upstream_timeout"       // 504: nothing came within the idle limit
	CodeClientTLS    = "client_tls"             // no answer: the client broke off the handshake, often because it pins certificates
	CodeInternal     = "internal_error"         // no answer, or 500: a bug in kb
	CodeShuttingDown = "session_ending"         // 503: the session is ending, or too many connections are open
)

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }
