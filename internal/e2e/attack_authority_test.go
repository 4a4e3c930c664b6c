package e2e

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kb/internal/testkit"
)

// TestAttackAuthority says one authority to one part of kb and another to the
// next, in every place of a request that names one.
func TestAttackAuthority(t *testing.T) {
	a := newArena(t)
	looks := map[string]*testkit.Origin{}
	for _, name := range []string{
		"evilapi.github.com.example", "evilgithub.com", "evilapi.github.com", "api.github.com.evil.example",
		"github.com.evil.example", "xn--pi-7ba.github.com", "api-github.com",
	} {
		looks[name] = a.serve(name, testkit.OriginConfig{})
	}
	a.child = a.start(a.home.Env, a.home.Dir)
	a.works(t)
	evil := at{origin: a.evil}

	a.attack("CONNECT good and inner Host evil", evil, func(*testing.T) answer {
		return a.inside(goodHost+":443", goodHost, get(evilHost, "/echo"))
	}, 421)
	a.attack("CONNECT evil and Host good", evil, func(t *testing.T) answer {
		return a.inside(evilHost+":443", evilHost, get(goodHost, "/echo", "Authorization: Bearer "+a.child.env["GITHUB_TOKEN"]))
	}, 200)
	a.attack("CONNECT line other than its Host", evil, func(*testing.T) answer {
		_, got := a.connect(evilHost+":443", "Host: "+goodHost+":443\r\n")
		return got
	}, 421)
	a.attack("CONNECT line good, its Host evil", evil, func(*testing.T) answer {
		_, got := a.connect(goodHost+":443", "Host: "+evilHost+":443\r\n")
		return got
	}, 421)
	a.attack("CONNECT line and its Host differ in the port", at{origin: a.good, port: 8443}, func(*testing.T) answer {
		_, got := a.connect(goodHost+":443", "Host: "+goodHost+":8443\r\n")
		return got
	}, 421)
	a.attack("SNI other than CONNECT", evil, func(*testing.T) answer {
		return a.inside(goodHost+":443", evilHost, get(goodHost, "/echo"))
	}, 0)
	a.attack("SNI good, CONNECT evil", evil, func(*testing.T) answer {
		return a.inside(evilHost+":443", goodHost, get(goodHost, "/echo"))
	})
	a.attack("absolute-form inside a tunnel", evil, func(*testing.T) answer {
		return a.inside(goodHost+":443", goodHost, get(goodHost, "https://"+evilHost+"/echo"))
	}, 400)
	a.attack("absolute-form inside a tunnel, network-path", evil, func(*testing.T) answer {
		return a.inside(goodHost+":443", goodHost, get(goodHost, "//"+evilHost+"/echo"))
	}, 400)
	a.attack("absolute-form http with another Host", at{origin: a.evil, port: 80, plain: true}, func(*testing.T) answer {
		return a.proxied("GET http://" + evilHost + "/echo HTTP/1.1\r\nHost: " + goodHost + "\r\nAUTHConnection: close\r\n\r\n")
	}, 421)
	a.attack("absolute-form https", evil, func(*testing.T) answer {
		return a.proxied("GET https://" + goodHost + "/echo HTTP/1.1\r\nHost: " + goodHost + "\r\nAUTHConnection: close\r\n\r\n")
	}, 400)
	a.attack("userinfo before evil", evil, func(*testing.T) answer {
		_, got := a.connect(goodHost+"@"+evilHost+":443", "Host: "+goodHost+"\r\n")
		return got
	}, 400)
	a.attack("userinfo before good", evil, func(*testing.T) answer {
		_, got := a.connect("evil.example:x@"+goodHost+":443", "")
		return got
	}, 400)
	a.attack("userinfo in the absolute form", at{origin: a.evil, port: 80, plain: true}, func(*testing.T) answer {
		return a.proxied("GET http://" + goodHost + ":80@" + evilHost + "/echo HTTP/1.1\r\nHost: " + evilHost + "\r\nAUTHConnection: close\r\n\r\n")
	}, 400)
	a.attack("no port", evil, func(*testing.T) answer {
		_, got := a.connect(goodHost, "")
		return got
	}, 400)
	a.attack("port of zero, of too much, with a sign, with a space", evil, func(t *testing.T) (got answer) {
		for _, port := range []string{"0", "0443", "65979", "+443", "443 ", "443,80", "", "443:443"} {
			_, got = a.connect(goodHost+":"+port, "")
			if got.status != 400 {
				t.Errorf("port %q: %d", port, got.status)
			}
		}
		return got
	}, 400)
	a.attack("trailing dot and upper case", evil, func(t *testing.T) answer {
		a.good.Forget()
		got := a.inside("API.GitHub.com.:443", "api.github.COM", get("Api.GITHUB.com.", "/status?code=204"))
		r := a.good.Requests()
		if len(r) != 1 || r[0].Host != goodHost || r[0].Credential() != a.work {
			t.Errorf("a canonical spelling did not arrive as itself: %d requests", len(r))
		}
		return got
	}, 204)
	a.attack("IDN and fullwidth look-alikes", at{origin: looks["xn--pi-7ba.github.com"]}, func(t *testing.T) (got answer) {
		for _, name := range []string{"ａpi.github.com", "api。github.com", "api.gıthub.com", "аpi.github.com", "api.github.com\u200b", "api%2egithub.com", "api.github.com%00.evil.example"} {
			if _, got = a.connect(name+":443", ""); got.status != 400 {
				t.Errorf("%q: %d", name, got.status)
			}
		}
		return a.inside("xn--pi-7ba.github.com:443", "xn--pi-7ba.github.com", get("xn--pi-7ba.github.com", "/echo"))
	}, 200)
	for name, o := range looks {
		a.attack("look-alike "+name, at{origin: o}, func(t *testing.T) answer {
			return a.inside(name+":443", name, get(name, "/echo", "Authorization: Bearer "+a.child.env["GITHUB_TOKEN"]))
		}, 200)
	}
	a.attack("IP literal", at{origin: a.good, port: 8443}, func(t *testing.T) answer {
		a.good.Forget()
		got := a.inside(a.good.Addr.String()+":443", goodHost, get(goodHost, "/echo"))
		for _, r := range a.good.Requests() {
			if r.Credential() != "" {
				t.Error("a credential went on a tunnel to an address")
			}
		}
		return got
	}, 200)
	a.attack("second request on a tunnel with another Host", evil, func(t *testing.T) answer {
		c, _ := a.tunnelTLS(goodHost+":443", "", &tls.Config{ServerName: goodHost})
		if c == nil {
			t.Fatal("no tunnel")
		}
		defer func() { _ = c.Close() }()
		first := "GET /status?code=204 HTTP/1.1\r\nHost: " + goodHost + "\r\n\r\n"
		got := a.exchange(c, first+get(evilHost, "/echo"))
		if got.status != 204 {
			t.Errorf("the first request got %d", got.status)
		}
		_, rest, _ := bytes.Cut([]byte(got.text), []byte("\r\n\r\n"))
		return answer{status: statusOf(rest), text: got.text}
	}, 421)
	a.attack("h2 :authority other than CONNECT", evil, func(*testing.T) answer {
		return a.h2(goodHost, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", evilHost}, {":path", "/echo"}})
	}, 421)
	a.attack("h2 :authority other than Host", evil, func(t *testing.T) answer {
		a.good.Forget()
		got := a.h2(goodHost, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", goodHost}, {":path", "/status?code=204"}, {"host", evilHost}})
		for _, r := range a.good.Requests() {
			if r.Host != goodHost {
				t.Errorf("arrived with Host %q", r.Host)
			}
		}
		return got
	}, 0, 204, 400, 421)
	a.attack("h2 without :authority, Host evil", evil, func(*testing.T) answer {
		return a.h2(goodHost, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":path", "/echo"}, {"host", evilHost}})
	}, 0, 400, 421)
	a.attack("h2 scheme http", at{origin: a.good, port: 80, plain: true}, func(*testing.T) answer {
		return a.h2(goodHost, [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", goodHost}, {":path", "/echo"}})
	}, 0, 400, 421)
	a.attack("h2 absolute path", evil, func(*testing.T) answer {
		return a.h2(goodHost, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", goodHost}, {":path", "https://" + evilHost + "/echo"}})
	}, 0, 400)
	a.attack("h2 CONNECT inside a tunnel", evil, func(*testing.T) answer {
		return a.h2(goodHost, [][2]string{{":method", "CONNECT"}, {":authority", evilHost + ":443"}})
	}, 0, 400, 405, 421)
	a.attack("other port of the good host", at{origin: a.good, port: 8443}, func(t *testing.T) answer {
		return a.inside(goodHost+":8443", goodHost, get(goodHost+":8443", "/echo"))
	}, 200)
	a.attack("other port in the inner Host", at{origin: a.good, port: 8443}, func(*testing.T) answer {
		return a.inside(goodHost+":443", goodHost, get(goodHost+":8443", "/echo"))
	}, 421)
	a.attack("port 80 by CONNECT", at{origin: a.good, port: 80, plain: true}, func(t *testing.T) answer {
		c, got := a.connect(goodHost+":80", "")
		if c == nil {
			return got
		}
		defer func() { _ = c.Close() }()
		return a.exchange(c, get(goodHost, "/echo"))
	}, 200)
	a.works(t)
}

// h2 sends one request of those header fields inside a tunnel, frame by frame,
// and returns the status of its answer (0: the stream or connection was reset).
func (a *arena) h2(host string, fields [][2]string) answer {
	a.t.Helper()
	c, fr, got := a.h2Open(host)
	if c == nil {
		return got
	}
	defer func() { _ = c.Close() }()
	if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: encodeFields(fields), EndStream: true, EndHeaders: true}); err != nil {
		return answer{text: err.Error()}
	}
	return readH2(fr)
}

func (a *arena) h2Open(host string) (net.Conn, *http2.Framer, answer) {
	a.t.Helper()
	c, got := a.tunnelTLS(host+":443", "", &tls.Config{ServerName: host, NextProtos: []string{"h2"}})
	if c == nil {
		return nil, nil, got
	}
	if p := c.ConnectionState().NegotiatedProtocol; p != "h2" {
		a.t.Fatalf("negotiated %q", p)
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		a.t.Fatal(err)
	}
	fr := http2.NewFramer(c, c)
	if err := fr.WriteSettings(); err != nil {
		a.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(attackPatience))
	return c, fr, got
}

func encodeFields(fields [][2]string) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range fields {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return block.Bytes()
}

// readH2 reads frames until stream 1 or the connection ends.
func readH2(fr *http2.Framer) answer {
	var got answer
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return got
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			for _, h := range f.Fields {
				got.text += fmt.Sprintf("%s: %s\r\n", h.Name, h.Value)
				if h.Name == ":status" {
					_, _ = fmt.Sscan(h.Value, &got.status)
				}
			}
			if f.StreamEnded() {
				return got
			}
		case *http2.DataFrame:
			got.text += string(f.Data())
			if f.StreamEnded() {
				return got
			}
		case *http2.RSTStreamFrame:
			got.text += fmt.Sprintf("RST_STREAM %v\r\n", f.ErrCode)
			return got
		case *http2.GoAwayFrame:
			got.text += fmt.Sprintf("GOAWAY %v %s\r\n", f.ErrCode, f.DebugData())
			if f.ErrCode != http2.ErrCodeNo {
				return got
			}
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = fr.WriteSettingsAck()
			}
		}
	}
}
