// Package testkit is the test world: origins under the providers' real names,
// and the means to drive kb's built binary and real clients against them.
//
// # Two flavours of one world
//
// [New] makes a world inside the test's own process. Its origins listen on
// loopback ports that nobody needs privileges for; [World.Resolver] gives each
// name an address of 203.0.113.0/24 (TEST-NET-3, RFC 5737) and [World.Dial]
// leads such an address to the listener behind it, so that a proxy under test
// keeps its address filter on. [World.Roots] holds the world's own CA.
//
// [Namespace] makes the same world for programs that resolve, dial and verify
// by themselves: the names are in /etc/hosts, the addresses on the loopback
// interface, the ports are 443 and 80, and the CA bundle of the system is
// the world's CA. That takes a user, network and mount namespace; [Main] enters one by
// running the test binary again, before any test. Where the machine refuses,
// the tests that need it skip with the reason. Nothing outside the namespace
// changes, and nothing in it reaches a network.
//
//	func TestMain(m *testing.M) { testkit.Main(m) }
//
//	func TestPush(t *testing.T) {
//		w := testkit.Namespace(t)
//		git := testkit.NewGit(t)
//		w.Serve("github.com", testkit.OriginConfig{Handler: git})
//		…
//	}
//
// # Origins
//
// [World.Serve] starts an origin with any http.Handler and logs every request
// that arrives, whole: see [Request]. [Lab] answers with every behaviour that
// an upstream can have (echo, redirects, server-sent events, WebSocket, slow,
// broken, sinks); [GitHub], [Git], [Anthropic] and [OpenAI] stand in for
// services.
//
// # Logins
//
// [AuthServer] is an authorization server that answers as a test tells it,
// with faults; [OIDC] is a real one, run by node, with a person who fills in
// its pages; [ProtectedResource] is an API behind either.
//
// # Secrets
//
// A [Canary] is a secret made to be looked for, and an [Oracle] looks for it in
// outputs, files, processes and request logs, in each encoding that a leak
// might take. [Oracle.Control] plants the canary on purpose and fails when the
// oracle stays silent.
//
// # What it leaves out
//
// It stands in for no service beyond what kb's tests ask of it, and imports no
// package of kb, so that it can be wrong only by itself.
package testkit
