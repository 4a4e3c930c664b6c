// Package proxy is a forward proxy that asks a [Policy] about every connection
// and request, and applies its answer: refuse, tunnel unread, or open the
// tunnel and put a credential on the request inside.
//
// It knows hosts, not vaults; credentials come to it as [Injection] values
// that are good for one request. [New] makes a [Server] from [Options], Serve
// runs it on a listener, Shutdown ends it. One server is one session: one
// token, one [CA].
//
// # The client's side
//
// HTTP/1.1 is served by a loop of its own that refuses by construction what
// RFC 9112 calls invalid and what request smuggling lives on; nothing is
// repaired, and a refusal ends the connection. HTTP/1.0 is served too (Python
// before 3.12 sends its CONNECT so). HTTP/2 is served by
// golang.org/x/net/http2 where a client offers it inside an intercepted
// tunnel. Every request of the hop to the proxy carries the session token as
// the password of Proxy-Authorization, or gets a 407.
//
// # The authority of a request
//
// One value, canonicalised once from the CONNECT line (or the absolute-form
// URI): policy, address check, dial, TLS name, certificate check and Host are
// all taken from it. What the client says elsewhere (Host, SNI, :authority)
// may cause refusal, never routing (RFC 9110 §7.2, RFC 9112 §3.2).
//
// Names are resolved once for a connection, every address is held against the
// filter, and one of those addresses is dialled. A name with one address that
// may not be dialled is refused whole.
//
// # Credentials
//
// They travel on TLS that was verified against the authority, and nowhere
// else: an absolute-form request is forwarded as plain http without any,
// whatever the policy answers, and plain HTTP inside an intercepted tunnel is
// refused. A field that is set replaces every copy of the client's. Redirects
// go back to the client. TRACE does not pass.
//
// # The upstream's side
//
// Unused connections are kept for each authority and profile ([Limits]).
// HTTP/1.1 clients get HTTP/1.1 upstream, HTTP/2 clients HTTP/2 where the
// upstream has it, because gRPC needs it end to end. A GET or HEAD without a
// body is sent a second time if a kept connection turns out dead before any
// answer; nothing else is ever sent twice unasked.
//
// # A 401
//
// An injection may have [Injection.Rejected] asked when the upstream answers
// 401. What it returns goes on the request in place of what was rejected, to
// the same authority, made anew of the fields, path, query and body that the
// client sent; the 401 is not shown. This happens once a request. A body with
// it goes over a connection of its own, because servers close those that they
// answered 401 on. What is read of the 401 before its connection is used again
// is bounded.
//
// For that a body of up to Limits.ReplayBody is kept from when it passes until
// the answer's head has come, up to Limits.ReplayTotal for all. A larger one,
// one that finds no room and one that the client has not ended
// Limits.ReplayWait after the 401 is not held back, and not sent again: the
// policy is told, and the 401 goes to the client.
//
// # Answers in place of the upstream
//
// With [Injection.Local] the policy answers itself, given the whole body of at most
// Limits.LocalBody (else 413). Nothing is dialled.
//
// Bodies, trailers, 1xx answers, event streams and websockets pass as they
// come, both ways at once. A message that was cut short on one side is cut
// short on the other. Idle limits count from the last byte; no message is
// limited in its length or duration.
//
// # What it leaves out
//
// Responses pass as they come: scrubbing of echoed secrets is not here yet;
// its seam is relayBody. Websockets over HTTP/2 (RFC 8441) are not offered,
// and 100-continue is answered by this side of HTTP/2. Websocket upgrades in
// absolute form (ws:// without CONNECT) are not passed. Tunnels have no idle
// limit, since their bytes may not even reach this process (splice(2)).
package proxy
