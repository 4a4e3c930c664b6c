// Package providers says what services are: their hosts, how a credential goes
// on a request, how one logs in, which placeholder their clients accept.
//
// A [Provider] is one TOML file. The catalogue that ships is embedded; a
// user's own definitions pass the same [Parse] and the same checks. Every fact
// in a definition carries the vendor page it comes from.
//
// # What it leaves out
//
// It holds no credentials and sends nothing. The broker joins a definition with
// a login; the proxy puts the result on a request.
package providers
