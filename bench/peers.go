package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"github.com/elazarl/goproxy"
)

// upstreamTransport is what both interceptors beside kb send with: enough
// unused connections for every client, and HTTP/1.1, as kb uses for clients
// that speak it.
func upstreamTransport(ca *authority) *http.Transport {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, MaxIdleConnsPerHost: 256,
		DisableCompression: true, // pass bodies as they come
	}
}

func listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err == nil {
		ready("http://" + l.Addr().String())
	}
	return l, err
}

// serveTunnel is a proxy that never looks inside: the least that a proxy in
// user space can cost. On Linux io.Copy between TCP connections is splice(2).
func serveTunnel() error {
	l, err := listen()
	if err != nil {
		return err
	}
	for {
		near, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = near.Close() }()
			r := bufio.NewReader(near)
			request, err := http.ReadRequest(r)
			if err != nil || request.Method != http.MethodConnect {
				return
			}
			far, err := net.Dial("tcp", request.Host)
			if err != nil {
				return
			}
			defer func() { _ = far.Close() }()
			if _, err := io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
				return
			}
			early, _ := r.Peek(r.Buffered())
			if _, err := far.Write(early); err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(far, near)
				_ = far.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(near, far)
		}()
	}
}

// serveGoproxy is github.com/elazarl/goproxy, set up as well as it can be: one
// leaf a host, kept, and a pool of upstream connections.
func serveGoproxy(dir string) error {
	ca, err := readCA(dir)
	if err != nil {
		return err
	}
	p := goproxy.NewProxyHttpServer()
	p.Logger = log.New(io.Discard, "", 0)
	p.Tr = upstreamTransport(ca)
	p.CertStore = &certStore{kept: map[string]*tls.Certificate{}}
	config := goproxy.TLSConfigFromCA(ca.pair())
	p.OnRequest().HandleConnectFunc(func(host string, _ *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
		return &goproxy.ConnectAction{Action: goproxy.ConnectMitm, TLSConfig: config}, host
	})
	p.OnRequest().DoFunc(func(r *http.Request, _ *goproxy.ProxyCtx) (*http.Request, *http.Response) {
		r.Header.Set("Authorization", "Bearer "+token)
		return r, nil
	})
	l, err := listen()
	if err != nil {
		return err
	}
	return (&http.Server{Handler: p, ReadHeaderTimeout: time.Minute, ErrorLog: p.Logger.(*log.Logger)}).Serve(l)
}

// certStore keeps goproxy's leaves.
type certStore struct {
	mu   sync.Mutex
	kept map[string]*tls.Certificate
}

func (s *certStore) Fetch(host string, make func() (*tls.Certificate, error)) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.kept[host]; c != nil {
		return c, nil
	}
	c, err := make()
	if err == nil {
		s.kept[host] = c
	}
	return c, err
}

// serveReverse intercepts with nothing but the standard library: net/http's
// server inside the tunnel, and httputil.ReverseProxy behind it.
func serveReverse(dir string) error {
	ca, err := readCA(dir)
	if err != nil {
		return err
	}
	quiet := log.New(io.Discard, "", 0)
	inside := &http.Server{
		ReadHeaderTimeout: time.Minute, ErrorLog: quiet,
		Handler: &httputil.ReverseProxy{
			Transport: upstreamTransport(ca), ErrorLog: quiet, FlushInterval: -1,
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "https", Host: r.In.Host})
				r.Out.Header.Set("Authorization", "Bearer "+token)
			},
		},
	}
	tunnels := make(handedOver)
	config := &tls.Config{GetCertificate: ca.certificate, MinVersion: tls.VersionTLS13}
	go func() { _ = inside.Serve(tunnels) }()
	outside := &http.Server{ReadHeaderTimeout: time.Minute, ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "CONNECT only", http.StatusBadRequest)
			return
		}
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
			_ = conn.Close()
			return
		}
		tunnels <- tls.Server(conn, config)
	})}
	l, err := listen()
	if err != nil {
		return err
	}
	return outside.Serve(l)
}

// handedOver is a listener whose connections somebody else accepted.
type handedOver chan net.Conn

func (h handedOver) Accept() (net.Conn, error) {
	c, ok := <-h
	if !ok {
		return nil, errors.New("closed")
	}
	return c, nil
}

func (h handedOver) Close() error   { return nil }
func (h handedOver) Addr() net.Addr { return &net.TCPAddr{} }
