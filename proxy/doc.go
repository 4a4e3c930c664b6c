// Package proxy is a forward proxy that asks a [Policy] about every connection
// and request, and applies its answer: refuse, tunnel unread, or open the
// tunnel and put a credential on the request inside.
//
// It knows hosts, not vaults; credentials come to it as [Injection] values
// that are good for one request.
//
// # The client's side
//
// HTTP/1.1 is served by a loop of its own (head.go, conn.go) that refuses by
// construction what RFC 9112 calls invalid and what request smuggling lives
// on; nothing is repaired. HTTP/2 is served by golang.org/x/net/http2 where a
// client offers it inside an intercepted tunnel.
//
// # The authority of a request
//
// One value, canonicalised once from the CONNECT line (or the absolute-form
// URI): policy, address check, dial, TLS name, certificate check and Host are
// all taken from it. What the client says elsewhere (Host, SNI, :authority)
// may cause refusal, never routing (RFC 9110 §7.2, RFC 9112 §3.2).
//
// # What it leaves out
//
// Responses pass as they come: scrubbing of echoed secrets is not here yet;
// its seam is [relayBody].
package proxy
