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
// answer; nothing else is ever sent twice.
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
