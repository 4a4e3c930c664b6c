package e2e

import (
	"crypto/tls"
	"math/rand/v2"
	"strings"
	"testing"
)

// mutations are what a mutated request gets: separators that parsers take
// differently, and the names of somebody else.
var mutations = []string{
	"\r\n", "\n", "\r", "\x00", " ", "\t", ":", "@", "/", "//", "\\", "#", "?", ";", ",", "%0d%0a", "%00", "%2f", "..", "[", "]", "\x0b", "\xa0", "\xff",
	evilHost, evilHost + ":443", "@" + evilHost, "." + evilHost, "https://" + evilHost + "/", "Host: " + evilHost + "\r\n", "\r\nHost: " + evilHost, "Connection: authorization\r\n",
	"Transfer-Encoding: chunked\r\n", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Expect: 100-continue\r\n", "Upgrade: websocket\r\nConnection: upgrade\r\n", "X-Forwarded-Host: " + evilHost + "\r\n",
	"HTTP/1.1", "HTTP/1.0", "GET / HTTP/1.1\r\nHost: " + evilHost + "\r\n\r\n", "CONNECT " + evilHost + ":443 HTTP/1.1\r\n\r\n", "0\r\n\r\n", "5\r\nhello\r\n",
}

// mutate changes text in one to three places.
func mutate(r *rand.Rand, text string) string {
	for range 1 + r.IntN(3) {
		from := r.IntN(len(text) + 1)
		to := min(len(text), from+r.IntN(4)*r.IntN(8))
		text = text[:from] + mutations[r.IntN(len(mutations))] + text[to:]
	}
	return text
}

// TestAttackMutatedBytes changes honest requests at random: the canaries stay
// where they belong, whatever kb makes of the bytes. The seed is fixed, so that a
// failure comes back.
func TestAttackMutatedBytes(t *testing.T) {
	a := newArena(t)
	a.child = a.start(a.home.Env, a.home.Dir)
	a.works(t)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // to be repeated, not to be secret
	connect := "CONNECT " + goodHost + ":443 HTTP/1.1\r\nHost: " + goodHost + ":443\r\n" + a.child.authorization("kb") + "Connection: close\r\n\r\n"
	absolute := "GET http://" + goodHost + "/echo HTTP/1.1\r\nHost: " + goodHost + "\r\n" + a.child.authorization("kb") + "Connection: close\r\n\r\n"
	inner := "POST /sink HTTP/1.1\r\nHost: " + goodHost + "\r\nAuthorization: Bearer x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
	const rounds = 150
	a.attack("the CONNECT request", at{origin: a.evil}, func(t *testing.T) (all answer) {
		for range rounds {
			c := a.dial()
			_ = c.SetDeadline(soon())
			text := mutate(r, connect)
			got := a.exchange(c, text+get(goodHost, "/echo"))
			_ = c.Close()
			all.text += got.text
		}
		return all
	})
	a.attack("the absolute form", at{origin: a.evil, port: 80, plain: true}, func(t *testing.T) (all answer) {
		for range rounds {
			c := a.dial()
			_ = c.SetDeadline(soon())
			all.text += a.exchange(c, mutate(r, absolute)).text
			_ = c.Close()
		}
		return all
	})
	a.attack("the request inside", at{origin: a.evil}, func(t *testing.T) (all answer) {
		for range rounds {
			c, got := a.tunnelTLS(goodHost+":443", "", &tls.Config{ServerName: goodHost})
			if c == nil {
				t.Fatal(got.text)
			}
			_ = c.SetDeadline(soon())
			text := mutate(r, inner)
			all.text += a.exchange(c, text).text
			_ = c.Close()
			for _, q := range a.good.Requests() {
				if q.Host != goodHost || len(q.Header["Authorization"]) > 1 || q.Header.Get("Authorization") == "Bearer x" && q.TLSVersion != 0 {
					t.Errorf("%q arrived at Host %q with %d Authorization lines", strings.ToValidUTF8(text, "?"), q.Host, len(q.Header["Authorization"]))
				}
			}
			a.good.Forget()
		}
		return all
	})
	a.works(t)
}
